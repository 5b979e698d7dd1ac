"""What is special about namespaces: they turn Terminating and wait until they are empty."""

from __future__ import annotations

from sampan.api.errors import NotFound
from sampan.api.meta import Json
from sampan.apiserver.admission.base import DELETE, Attempt
from sampan.apiserver.call import Call
from sampan.apiserver.options import DeleteOptions
from sampan.apiserver.refusals import conflict
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.delete import Deleted, check_preconditions, finalizers
from sampan.apiserver.registry.update import TRIES, ends
from sampan.apiserver.served import Served
from sampan.apiserver.verbs.delete import deleted, read_options
from sampan.std.http import Response


class Namespaces:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def delete(self, served: Served, call: Call) -> Response:
        options = read_options(call)
        for _ in range(TRIES):
            done = await self._try(served, call, options)
            if done is not None:
                return deleted(served, call, done, status_only=True)
        raise conflict(served.id, call.info.name)

    async def _try(self, served: Served, call: Call, options: DeleteOptions) -> Deleted | None:
        item = served.collection.get("", call.info.name)
        if item is None:
            raise NotFound.of(served.id, call.info.name)
        old, new = served.current(item), served.current(item)
        check_preconditions(served, old, options)
        attempt = Attempt(DELETE, served, call, "", item.name, None, old, dry_run=options.dry_run)
        await self._parts.chain.admit(attempt)
        await self._parts.chain.validate(attempt)
        self._mark(new, options)
        gone = ends(new)
        if options.dry_run:
            return Deleted(new, item, gone)
        if gone:
            removed = await self._parts.remove(served, "", item.name, item.revision)
            return Deleted(new, item, True) if removed else None
        if new == old:
            return Deleted(new, item, False)
        done = await self._parts.put(served, new, "", item.revision)
        return Deleted(new, done, False) if done is not None else None

    def _mark(self, namespace: Json, options: DeleteOptions) -> None:
        meta = namespace["metadata"]
        finalizers(meta, options)
        if not meta.get("deletionTimestamp"):
            meta["deletionTimestamp"] = self._parts.timestamp()
        namespace["status"] = {**(namespace.get("status") or {}), "phase": "Terminating"}
