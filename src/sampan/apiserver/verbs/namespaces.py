"""What is special about namespaces: they turn Terminating and wait until they are empty."""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.apiserver.call import Call
from sampan.apiserver.options import DeleteOptions
from sampan.apiserver.registry import delete as registry
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.update import ends
from sampan.apiserver.served import Served
from sampan.apiserver.verbs.delete import deleted, read_options
from sampan.std.http import Response


class Namespaces:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def delete(self, served: Served, call: Call) -> Response:
        options = read_options(call)
        name = call.info.name
        done = await registry.delete(self._parts, served, call, name, options, self._mark)
        return deleted(served, call, done, status_only=True)

    def _mark(self, namespace: Json, options: DeleteOptions) -> bool:
        meta = namespace["metadata"]
        registry.finalizers(meta, options)
        if not meta.get("deletionTimestamp"):
            meta["deletionTimestamp"] = self._parts.timestamp()
        namespace["status"] = {**(namespace.get("status") or {}), "phase": "Terminating"}
        return ends(namespace)
