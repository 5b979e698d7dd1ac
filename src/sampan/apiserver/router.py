"""From a resource, a method and a subresource to the verb that answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from sampan.api.errors import BadRequest, NotFound
from sampan.apiserver.call import Call
from sampan.apiserver.handlers import Special
from sampan.apiserver.refusals import no_such_method, no_such_resource, unsupported
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.served import Served
from sampan.apiserver.verbs.create import create
from sampan.apiserver.verbs.delete import delete, delete_collection
from sampan.apiserver.verbs.get import get
from sampan.apiserver.verbs.list import list_
from sampan.apiserver.verbs.patch import patch
from sampan.apiserver.verbs.update import update
from sampan.apiserver.verbs.watch import watch
from sampan.std.http import Response

ON_COLLECTION = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
ON_OBJECT = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
PLAIN_SUBRESOURCES = frozenset({"status"})


class Router:
    """`special` has handlers by (group, plural, subresource), or ("*", "*", subresource)."""

    def __init__(
        self,
        parts: Parts,
        special: Mapping[tuple[str, str, str], Special],
        random: Callable[[], float],
    ) -> None:
        self.parts = parts
        self.special = special
        self.random = random

    async def route(self, served: Served, call: Call) -> Response:
        info = call.info
        rid = served.id
        if served.resource.deprecated:
            call.warn(served.resource.deprecated)
        if "/" in info.namespace or "/" in info.name:
            raise no_such_resource()  # a slash ends a part of a path, however it is written
        in_place = bool(info.namespace) or not rid.namespaced
        if rid.namespaced is False and info.namespace and rid.plural != "namespaces":
            raise no_such_resource()
        if info.named and not in_place and info.legacy_verb != "watch":
            raise no_such_resource()
        if served.resource.deprecated:
            call.warn(served.resource.deprecated)
        if info.subresource:
            return await self._subresource(served, call)
        verb = self._verb(served, call, in_place=in_place)
        if info.named:
            check_segment(info.name)
        handler = self.special.get((rid.group, rid.plural, f"*{verb}")) or self.special.get(
            (rid.group, rid.plural, "")
        )
        if handler is not None:
            return await handler(served, call)
        return await self._plain(verb, served, call)

    def _verb(self, served: Served, call: Call, *, in_place: bool) -> str:
        """Raises MethodNotAllowed for what the resource does not have."""
        info, method = call.info, call.request.method
        everywhere = served.id.namespaced and not info.namespace
        if served.resource.verbs == ("create",) and (info.named or everywhere):
            raise no_such_resource()  # reviews and bindings are made, and have no path of their own
        if info.legacy_verb == "watch":
            verb = "watch" if method == "GET" else ""
        elif info.named:
            verb = ON_OBJECT.get(method, "")
        else:
            verb = ON_COLLECTION.get(method, "")
            if verb == "list" and info.verb == "watch":
                verb = "watch"
            if verb in ("create", "deletecollection") and not in_place:
                verb = ""
        if verb not in served.resource.verbs:
            raise no_such_method()
        return verb

    async def _plain(self, verb: str, served: Served, call: Call) -> Response:
        parts = self.parts
        if verb == "get":
            return await get(served, call, self.parts.cacher)
        if verb == "list":
            return await list_(served, call, parts.cacher)
        if verb == "watch":
            return await watch(served, call, parts.cacher, self.random)
        return await WRITES[verb](served, call, parts)

    async def _subresource(self, served: Served, call: Call) -> Response:
        info, rid = call.info, served.id
        sub = served.subresource(info.subresource)
        if sub is None and served.custom:
            raise NotFound.of(served.id, info.name)
        if sub is None or (info.rest and info.subresource != "proxy"):
            raise no_such_resource()
        verb = {**ON_OBJECT, "POST": "create"}.get(call.request.method, "")
        streaming = info.subresource in ("exec", "attach", "portforward", "proxy")
        if streaming and call.query.get("dryRun"):
            raise BadRequest("dryRun is not supported")
        if verb not in sub.verbs and not (streaming and info.subresource == "proxy"):
            raise unsupported(rid, verb) if served.custom and verb else no_such_method()
        if info.subresource != "proxy":
            check_segment(info.name)
        handler = self.special.get((rid.group, rid.plural, info.subresource)) or self.special.get(
            ("*", "*", info.subresource)
        )
        if handler is not None:
            return await handler(served, call)
        if verb == "get":
            return await get(served, call, self.parts.cacher)
        return await WRITES[verb](served, call, self.parts)


def check_segment(name: str) -> None:
    """A name must be one part of a path. Raises BadRequest."""
    if name in (".", ".."):
        why = f"may not be '{name}'"
    else:
        why = "may not contain '%'" if "%" in name else ""
    if why:
        raise BadRequest(f'Name parameter invalid: "{name}": {why}')


WRITES: dict[str, Callable[[Served, Call, Parts], Awaitable[Response]]] = {
    "create": create,
    "update": update,
    "patch": patch,
    "delete": delete,
    "deletecollection": delete_collection,
}
