"""POST pods/NAME/binding (and the old /bindings): a pod gets its node, once."""

from __future__ import annotations

import orjson

from sampan.api.errors import BadRequest, FieldError, Unclassified
from sampan.api.meta import Json, ResourceId
from sampan.apiserver.answers import answer
from sampan.apiserver.attempts import CREATE, Attempt
from sampan.apiserver.call import Call
from sampan.apiserver.options import write_options
from sampan.apiserver.reading import read_object
from sampan.apiserver.refusals import conflict, other_object
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.modify import modify
from sampan.apiserver.served import Catalog, Served
from sampan.std.http import Response

PODS_BINDING = ResourceId("", "v1", "pods/binding", "Pod")
PODS = ResourceId("", "v1", "pods", "Pod")


class Bindings:
    def __init__(self, parts: Parts, catalog: Catalog) -> None:
        self._parts = parts
        self._catalog = catalog

    async def create(self, served: Served, call: Call) -> Response:
        options = write_options(call.query, "CreateOptions")
        bindings = self._catalog.find("", "v1", "bindings")
        pods = self._catalog.find("", "v1", "pods")
        assert bindings is not None
        assert pods is not None
        binding = read_object(call, bindings, options.validation)
        name = call.info.name or binding["metadata"].get("name") or ""
        if name != (binding["metadata"].get("name") or ""):
            raise BadRequest("name in URL does not match name in Binding object")
        attempt = Attempt(
            CREATE, pods, call, call.info.namespace, name, binding, None, "binding",
            options.dry_run,
        )  # fmt: skip
        await self._parts.chain.admit(attempt)
        errors = validate(binding)
        if errors:
            texts = [str(error) for error in errors]
            raise Unclassified(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
        await self._parts.chain.validate(attempt)

        def bind(pod: Json) -> Json:
            return bound(pod, binding, self._parts.timestamp())

        await modify(self._parts, pods, call.info.namespace, name, bind, dry_run=options.dry_run)
        return answer(call, orjson.dumps(CREATED), 201)


CREATED: Json = {
    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
}  # fmt: skip


def validate(binding: Json) -> list[FieldError]:
    target = binding.get("target") or {}
    errors = []
    kind = target.get("kind") or ""
    if kind not in ("", "Node"):
        text = 'supported values: "Node", "<empty>"'
        errors.append(FieldError("NotSupported", "target.kind", kind, text))
    if not target.get("name"):
        errors.append(FieldError("Required", "target.name"))
    return errors


def bound(pod: Json, binding: Json, now: str) -> Json:
    """The pod with its node. Raises Conflict when it has one, or is on its way out."""
    meta, spec = pod["metadata"], pod["spec"]
    name = meta["name"]
    sent = binding["metadata"]
    for key, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if sent.get(key) and sent[key] != meta.get(key):
            raise other_object(PODS, pod, sent[key], word)
    if meta.get("deletionTimestamp"):
        why = f"pod {name} is being deleted, cannot be assigned to a host"
        raise conflict(PODS_BINDING, name, why)
    if spec.get("nodeName"):
        why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
        raise conflict(PODS_BINDING, name, why)
    if spec.get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
        raise conflict(PODS_BINDING, name, why)
    spec["nodeName"] = binding["target"]["name"]
    for key in ("annotations", "labels"):
        if sent.get(key):
            meta[key] = {**(meta.get(key) or {}), **sent[key]}
    status = pod.setdefault("status", {})
    others = [c for c in status.get("conditions") or () if c.get("type") != "PodScheduled"]
    condition = {
        "type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now,
    }  # fmt: skip
    status["conditions"] = [*others, condition]
    status.pop("nominatedNodeName", None)  # the promise is kept
    return pod
