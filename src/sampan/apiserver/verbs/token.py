"""POST serviceaccounts/NAME/token: a token for an account, maybe bound to a pod, secret or node."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import orjson

from sampan.api import kinds
from sampan.api.errors import BadRequest, Conflict, FieldError, Invalid, NotFound, details_of
from sampan.api.meta import Json, ResourceId
from sampan.apiserver.answers import answer
from sampan.apiserver.attempts import CREATE, Attempt
from sampan.apiserver.authn.accounts import AccountTokens, Bound
from sampan.apiserver.cacher.item import head_of
from sampan.apiserver.call import Call
from sampan.apiserver.options import write_options
from sampan.apiserver.reading import read_as
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.metadata import check_namespace
from sampan.apiserver.served import Served
from sampan.resources.authentication import tokenrequest
from sampan.std.http import Response

TOKENREQUEST = ResourceId("authentication.k8s.io", "v1", "", "TokenRequest")
SCHEMA = "io.k8s.api.authentication.v1.TokenRequest"
BINDABLE: dict[tuple[str, str], ResourceId] = {
    ("v1", "Pod"): kinds.PODS,
    ("v1", "Secret"): kinds.SECRETS,
    ("v1", "Node"): kinds.NODES,
}


class TokenRequests:
    def __init__(self, parts: Parts, tokens: AccountTokens) -> None:
        self._parts = parts
        self._tokens = tokens

    async def create(self, served: Served, call: Call) -> Response:
        options = write_options(call.query, "CreateOptions")
        request = read_as(call, TOKENREQUEST, SCHEMA, options.validation)
        info = call.info
        check_namespace(served, request, info.namespace)
        said = request["metadata"].get("name") or info.name
        if said != info.name:
            text = "must match the service account name if specified"
            error = FieldError("Invalid", "metadata.name", said, text)
            raise Invalid.of(TOKENREQUEST, info.name, [error])
        item = served.collection.get(info.namespace, info.name)
        if item is None:
            raise NotFound.of(served.id, info.name)
        account = served.current(item)
        spec = request.setdefault("spec", {})
        audiences = tuple(spec.get("audiences") or ()) or self._tokens.audiences
        tokenrequest.defaults(request)
        errors = tokenrequest.validate(request)
        if errors:
            raise Invalid.of(TOKENREQUEST, "", errors)
        seconds = spec["expirationSeconds"]
        attempt = Attempt(
            CREATE, served, call, info.namespace, info.name, request, None, "token",
            options.dry_run,
        )  # fmt: skip
        await self._parts.chain.admit(attempt)
        bound = self._bound(account, spec.get("boundObjectRef"))
        await self._parts.chain.validate(attempt)
        token, expires = self._tokens.issue(bound, audiences, seconds)
        when = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        meta = account["metadata"]
        made: Json = {
            "metadata": {
                "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"],
                "creationTimestamp": self._parts.timestamp(),
            },
            "spec": {
                "audiences": list(audiences), "expirationSeconds": seconds,
                "boundObjectRef": spec.get("boundObjectRef"),
            },
            "status": {"token": token, "expirationTimestamp": when},
        }  # fmt: skip
        head = head_of(TOKENREQUEST.kind, TOKENREQUEST.api_version)
        return answer(call, head + orjson.dumps(made)[1:], 201)

    def _bound(self, account: Json, ref: Json | None) -> Bound:
        """Raises NotFound, Conflict, BadRequest for an object that cannot be bound to."""
        meta = account["metadata"]
        plain = Bound(meta["namespace"], meta["name"], meta["uid"])
        if ref is None:
            return plain
        rid = BINDABLE.get((ref.get("apiVersion") or "v1", ref.get("kind") or ""))
        if rid is None:
            group, _, version = (ref.get("apiVersion") or "").rpartition("/")
            raise BadRequest(
                f"cannot bind token to object of type {group}/{version}, Kind={ref.get('kind', '')}"
            )
        found = self._object(rid, meta["namespace"], ref)
        held = (found["metadata"]["name"], found["metadata"]["uid"])
        if rid is kinds.SECRETS:
            return dataclasses.replace(plain, secret=held)
        if rid is kinds.NODES:
            return dataclasses.replace(plain, node=held)
        pod_account = found["spec"].get("serviceAccountName")
        if pod_account != meta["name"]:
            raise BadRequest(
                f'cannot bind token for serviceaccount "{meta["name"]}" to pod running with '
                "different serviceaccount name."
            )
        return dataclasses.replace(plain, pod=held, node=self._node(found))

    def _object(self, rid: ResourceId, namespace: str, ref: Json) -> Json:
        name = ref.get("name") or ""
        objects = self._parts.cacher.collection(rid.group, rid.plural)
        item = objects.get(namespace if rid.namespaced else "", name)
        if item is None:
            raise NotFound.of(rid, name)
        found = item.decode()
        uid = ref.get("uid") or found["metadata"]["uid"]
        if uid != found["metadata"]["uid"]:
            raise Conflict(
                f'Operation cannot be fulfilled on {rid.qualified} "{name}": the UID in the bound '
                f"object reference ({uid}) does not match the UID in record. The object might have "
                "been deleted and then recreated",
                details=details_of(rid, name),
            )
        return found

    def _node(self, pod: Json) -> tuple[str, str] | None:
        name = pod["spec"].get("nodeName")
        if not name:
            return None
        item = self._parts.cacher.collection("", "nodes").get("", name)
        return name, item.decode()["metadata"]["uid"] if item is not None else ""
