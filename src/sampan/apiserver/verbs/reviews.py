"""Reviews: who am I, whose token is it, may somebody do that. Answered and never stored."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.api.errors import BadRequest, FieldError, Invalid
from sampan.api.meta import Json, ResourceId
from sampan.apiserver.answers import answer
from sampan.apiserver.authn.authenticator import Authenticator
from sampan.apiserver.authn.user import User
from sampan.apiserver.authz.attributes import Attributes
from sampan.apiserver.authz.authorizer import Authorizer
from sampan.apiserver.authz.rules import Rule
from sampan.apiserver.call import Call
from sampan.apiserver.handlers import Special
from sampan.apiserver.negotiate import not_acceptable
from sampan.apiserver.options import manager_of, write_options
from sampan.apiserver.reading import read_object
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.metadata import check_namespace
from sampan.apiserver.served import Served
from sampan.std.http import Response

AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"


class Reviews:
    def __init__(self, parts: Parts, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._parts = parts
        self._authenticator = authenticator
        self._authorizer = authorizer

    def specials(self) -> Mapping[tuple[str, str, str], Special]:
        return {
            (AUTHENTICATION, "selfsubjectreviews", ""): self.self_subject,
            (AUTHENTICATION, "tokenreviews", ""): self.token,
            (AUTHORIZATION, "selfsubjectaccessreviews", ""): self.own_access,
            (AUTHORIZATION, "subjectaccessreviews", ""): self.access,
            (AUTHORIZATION, "localsubjectaccessreviews", ""): self.access,
            (AUTHORIZATION, "selfsubjectrulesreviews", ""): self.rules,
        }

    async def self_subject(self, served: Served, call: Call) -> Response:
        obj = self._read(served, call)
        obj["metadata"] = {"creationTimestamp": self._parts.timestamp()}
        obj["status"] = {"userInfo": call.user.info()}
        return _answer(served, call, obj)

    async def token(self, served: Served, call: Call) -> Response:
        obj = self._read(served, call)
        spec = obj.get("spec") or {}
        token = spec.get("token") or ""
        if not token:
            raise BadRequest("token is required for TokenReview in authentication")
        user, complaint = self._authenticator.review(token, tuple(spec.get("audiences") or ()))
        if user is None:
            obj["status"] = {"user": {}, "error": complaint}
        else:
            status: Json = {"authenticated": True, "user": user.info()}
            if user.audiences:
                status["audiences"] = list(user.audiences)
            obj["status"] = status
        return _answer(served, call, obj)

    async def own_access(self, served: Served, call: Call) -> Response:
        obj = self._read(served, call)
        self._check(served, obj)
        obj["status"] = self._decide(obj["spec"], call.user)
        return _answer(served, call, obj)

    async def access(self, served: Served, call: Call) -> Response:
        obj = self._read(served, call)
        if served.id.namespaced:
            check_namespace(served, obj, call.info.namespace)
        self._check(served, obj)
        spec = obj["spec"]
        extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
        groups = tuple(spec.get("groups") or ())
        obj["status"] = self._decide(
            spec, User(spec.get("user") or "", spec.get("uid") or "", groups, extra)
        )
        return _answer(served, call, obj)

    async def rules(self, served: Served, call: Call) -> Response:
        obj = self._read(served, call)
        namespace = (obj.get("spec") or {}).get("namespace") or ""
        if not namespace:
            raise BadRequest("no namespace on request")
        held = self._authorizer.rbac.bound(call.user, namespace)
        obj["metadata"], obj["spec"] = {}, {}
        whole = not (self._authorizer.by_node and call.user.node)
        obj["status"] = {
            "resourceRules": [_shown(rule, paths=False) for rule in held if not rule.paths],
            "nonResourceRules": [_shown(rule, paths=True) for rule in held if rule.paths],
            "incomplete": not whole,
        }
        if not whole:
            why = "node authorizer does not support user rule resolution"
            obj["status"]["evaluationError"] = why
        return _answer(served, call, obj)

    def _read(self, served: Served, call: Call) -> Json:
        if call.wish.transform == "Table":
            raise not_acceptable()  # a review is asked, not listed: it has no columns
        options = write_options(call.query, "CreateOptions")
        obj = read_object(call, served, options.validation)
        obj.pop("status", None)
        if not served.id.namespaced:
            obj["metadata"].pop("namespace", None)
        manager = manager_of(options, call.request.headers.get("user-agent", ""))
        self._parts.ownership.track(served, None, obj, manager, "")
        return obj

    @staticmethod
    def _check(served: Served, obj: Json) -> None:
        errors: list[FieldError] = served.resource.validate(obj, None, "")
        if errors:
            # Upstream loses the kind on the way; the group is all that is left.
            found = Invalid.of(ResourceId(served.id.group, "v1", "", ""), "", errors)
            details = {k: v for k, v in (found.details or {}).items() if k != "kind"}
            raise Invalid(found.message, details=details)

    def _decide(self, spec: Json, user: User) -> Json:
        decision = self._authorizer.decide(_asked(spec, user))
        status: Json = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        return status


def _asked(spec: Json, user: User) -> Attributes:
    other = spec.get("nonResourceAttributes")
    if other is not None:
        return Attributes(user, other.get("verb", ""), path=other.get("path", ""))
    wanted = spec.get("resourceAttributes") or {}
    return Attributes(
        user,
        wanted.get("verb", ""),
        wanted.get("group", ""),
        wanted.get("resource", ""),
        wanted.get("subresource", ""),
        wanted.get("namespace", ""),
        wanted.get("name", ""),
        version=wanted.get("version", ""),
        fields=_fields(wanted.get("fieldSelector") or {}),
    )


def _fields(selector: Json) -> str:
    """A review's field selector as a request would bring it."""
    if selector.get("rawSelector"):
        return str(selector["rawSelector"])
    return ",".join(
        f"{term['key']}={term['values'][0]}"
        for term in selector.get("requirements") or ()
        if term.get("operator") == "In" and len(term.get("values") or ()) == 1
    )


def _shown(rule: Rule, *, paths: bool) -> Json:
    if paths:
        return {"verbs": list(rule.verbs), "nonResourceURLs": list(rule.paths)}
    return rule.to_json()


def _answer(served: Served, call: Call, obj: Json) -> Response:
    return answer(call, call.form(served).of(obj), 201)
