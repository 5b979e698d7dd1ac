"""CustomResourceDefinitions: served as soon as they are established, cleaned up when they go.

    definition changes -> names and conditions written back -> catalog -> discovery, OpenAPI
    definition deleted -> its objects go first -> finalizer off -> definition gone

The pure part (schemas, pruning, names) is in `sampan.resources.custom` and `.apiextensions`.
"""

from __future__ import annotations

import asyncio

import orjson

from sampan.api import schema
from sampan.api.errors import ApiError, NotFound
from sampan.api.meta import Json, ResourceId
from sampan.apiserver import automanaged
from sampan.apiserver.cacher.collection import Collection, Event
from sampan.apiserver.call import Call
from sampan.apiserver.options import DeleteOptions
from sampan.apiserver.registry import delete as deleting
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.modify import modify
from sampan.apiserver.served import Catalog, Served
from sampan.apiserver.verbs.delete import deleted, read_options
from sampan.resources.apiextensions.crd import FINALIZER, established
from sampan.resources.apiextensions.naming import status as naming_status
from sampan.resources.custom.versions import CustomVersion
from sampan.resources.custom.versions import served as versions_of
from sampan.std import log
from sampan.std.http import Response

_log = log.get("apiserver")

GROUP, PLURAL = "apiextensions.k8s.io", "customresourcedefinitions"
RETRY_S = 0.2


class CustomResources:
    """Follows the definitions; `run` writes their statuses and cleans up behind them."""

    def __init__(self, parts: Parts, catalog: Catalog) -> None:
        self._parts = parts
        self._catalog = catalog
        self._definitions = parts.cacher.collection(GROUP, PLURAL)
        self._published: dict[str, tuple[bytes, list[ResourceId]]] = {}
        self._waiting: set[str] = set()
        self._wake = asyncio.Event()
        for item in self._definitions.items():
            self._changed(Event(item.revision, item, None))
        parts.cacher.listen(GROUP, PLURAL, self._changed)

    # -- the catalog

    def _changed(self, event: Event) -> None:
        """Serve what the stored definition says; no await, so that no request sees a half."""
        name = event.subject.name
        if event.item is None:
            self._withdraw(name)
            # Somebody else may have waited for its names.
            self._waiting |= {item.name for item in self._definitions.items()}
        else:
            self._publish(name, event.item.decode())
            self._waiting.add(name)
        self._wake.set()

    def _publish(self, name: str, crd: Json) -> None:
        if not established(crd):
            return
        closing = bool(crd["metadata"].get("deletionTimestamp"))
        said = [crd["spec"], (crd.get("status") or {}).get("acceptedNames"), closing]
        print_of = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
        if self._published.get(name, (b"", []))[0] == print_of:
            return
        self._withdraw(name)
        reread = (crd["metadata"].get("generation") or 1) > 1
        ids = []
        for version in versions_of(crd):
            found = self._catalog.add(version.resource, custom=True)
            _complete(found, version, reread=reread, closing=closing)
            ids.append(found.id)
        self._published[name] = (print_of, ids)

    def _withdraw(self, name: str) -> None:
        for rid in self._published.pop(name, (b"", []))[1]:
            self._catalog.remove(rid)

    # -- behind the requests

    async def run(self) -> None:
        """Until cancelled; what fails is tried again."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                name = self._waiting.pop()
                try:
                    done = await self._settle(name)
                except ApiError as error:
                    _log.warning("definition not settled", name=name, error=error)
                    done = False
                if not done:
                    await self._parts.clock.sleep(RETRY_S)
                    self._waiting.add(name)
            await automanaged.sync(self._parts, self._catalog, self._definitions)

    async def _settle(self, name: str) -> bool:
        """Bring one definition further; whether nothing more is to be done now."""
        served = self._catalog.find(GROUP, "v1", PLURAL)
        item = self._definitions.get("", name)
        if item is None or served is None:
            return True
        crd = served.current(item)
        if crd["metadata"].get("deletionTimestamp"):
            return await self._clean(served, crd)
        others = [other.decode() for other in self._definitions.items()]
        now = self._parts.timestamp()
        if naming_status(crd, others, now) == crd.get("status"):
            return True

        def tell(current: Json) -> Json:
            return {**current, "status": naming_status(current, others, now)}

        try:
            await modify(self._parts, served, "", name, tell)
        except NotFound:
            return True
        return True

    async def _clean(self, served: Served, crd: Json) -> bool:
        """Delete the objects of a definition that goes, then let it go."""
        name, spec = crd["metadata"]["name"], crd["spec"]
        if FINALIZER not in (crd["metadata"].get("finalizers") or ()):
            return True
        objects = self._parts.cacher.collection(spec["group"], spec["names"]["plural"])
        kind = self._catalog.any_version(spec["group"], spec["names"]["plural"])
        if objects.count and kind is not None:
            await self._delete_all(kind, objects)
            if objects.count:
                return False

        def release(current: Json) -> Json:
            held = current["metadata"].get("finalizers") or []
            current["metadata"]["finalizers"] = [f for f in held if f != FINALIZER]
            return current

        item = await modify(self._parts, served, "", name, release)
        if not served.current(item)["metadata"].get("finalizers"):
            await self._parts.remove(served, "", name, item.revision)
        return True

    async def _delete_all(self, kind: Served, objects: Collection) -> None:
        for item in list(objects.items()):
            obj = kind.current(item)
            if deleting.mark(self._parts, kind, obj, DeleteOptions()):
                await self._parts.remove(kind, item.namespace, item.name, item.revision)
            elif obj != kind.current(item):
                await self._parts.put(kind, obj, item.namespace, item.revision)

    # -- DELETE

    async def delete(self, served: Served, call: Call) -> Response:
        """A definition is only marked; its objects go before it."""
        options = read_options(call)

        def mark(crd: Json, options: DeleteOptions) -> bool:
            return self._mark(crd, options)

        done = await deleting.delete(self._parts, served, call, call.info.name, options, mark)
        return deleted(served, call, done, status_only=True)

    def _mark(self, crd: Json, options: DeleteOptions) -> bool:
        meta = crd["metadata"]
        deleting.finalizers(meta, options)
        if meta.get("deletionTimestamp"):
            return False
        now = self._parts.timestamp()
        meta["deletionTimestamp"], meta["deletionGracePeriodSeconds"] = now, 0
        held = meta.get("finalizers") or []
        meta["finalizers"] = held if FINALIZER in held else [*held, FINALIZER]
        if meta.get("generation"):
            meta["generation"] += 1
        status = crd.setdefault("status", {})
        others = [c for c in status.get("conditions") or () if c["type"] != "Terminating"]
        status["conditions"] = [*others, {
            "type": "Terminating", "status": "True", "lastTransitionTime": now,
            "reason": "InstanceDeletionPending",
            "message": "CustomResourceDefinition marked for deletion; CustomResource deletion "
            "will begin soon",
        }]  # fmt: skip
        return False


def _complete(served: Served, version: CustomVersion, *, reread: bool, closing: bool) -> None:
    """What a custom kind brings beyond its Resource."""
    served.read = version.read
    served.definition = version.definition
    served.shape = schema.from_openapi(version.definition)
    served.scale = version.scale
    served.closing = closing
    if reread:
        # Objects may have been stored under another schema: prune and default them anew.
        served.whole.convert = served.reread = version.reread
