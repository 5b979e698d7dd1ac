"""Garbage collection: what nobody owns any more goes; foreground and orphan deletion are finished.

informers of every kind --> Graph --> queue of uids --> process:
    owners gone               delete it (or drop the references that dangle)
    foregroundDeletion        delete the dependents, then take the finalizer away
    orphan                    free the dependents, then take the finalizer away
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable

from sampan.api import kinds
from sampan.api.errors import ApiError, Conflict, NotFound
from sampan.api.meta import Json, ResourceId
from sampan.client.client import PatchKind
from sampan.client.transport import Unreachable
from sampan.controllers.deps import Deps
from sampan.controllers.discovery import survey
from sampan.controllers.owner_graph import (
    FOREGROUND,
    ORPHAN,
    Graph,
    Node,
    Owner,
    Owners,
    invalid_namespace,
    node_of,
    reference_of,
)
from sampan.loop.component import Component
from sampan.loop.informer import Informer
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller, Terminal
from sampan.std import log

ACCOUNT = "generic-garbage-collector"
COMPONENT = "garbage-collector-controller"
IGNORED = frozenset((kinds.EVENTS, kinds.EVENTS_V1))
"""Many, short-lived, and never owners or owned."""
REMEMBERED = 500
REFRESH_S = 30.0
UNKNOWN_OWNER_S = 0.2
"""An owner that is not in the graph is most often only a moment late: another informer's."""
_LOG = log.get("garbagecollector")


def garbagecollector(deps: Deps) -> Component:
    return Collector(deps)


class Collector:
    """The reconciler, and the component that keeps its informers in step with discovery."""

    name = "garbagecollector"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[str] = Queue(deps.clock)
        self._deps = deps
        self._clock = deps.clock
        self._client = deps.client_of(ACCOUNT)
        self._recorder = deps.recorder(COMPONENT, ACCOUNT)
        self._graph = Graph()
        self._rids: dict[tuple[str, str], ResourceId] = {}
        self._watched: dict[ResourceId, Informer] = {}
        self._absent: OrderedDict[tuple[str, ...], None] = OrderedDict()
        """Owners that the server said it does not have; uids do not come back."""
        self._refresh = asyncio.Event()
        deps.informers.of(kinds.CUSTOMRESOURCEDEFINITIONS).on_change(
            lambda old, new: self._refresh.set()
        )

    async def run(self, started: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as group:
            await self._follow(group)
            for informer in list(self._watched.values()):
                await informer.synced.wait()
            workers = Controller(self, self.queue, workers=self._deps.settings.concurrent)
            group.create_task(workers.run(lambda: None))
            started()
            while True:
                self._refresh.clear()
                try:
                    async with asyncio.timeout(REFRESH_S):
                        await self._refresh.wait()
                except TimeoutError:
                    pass
                await self._follow(group)

    async def _follow(self, group: asyncio.TaskGroup) -> None:
        """An informer for every resource that can be listed, watched and deleted."""
        try:
            known = await survey(self._deps.client)
        except (ApiError, Unreachable) as error:
            _LOG.warning("cannot discover", error=error)
            await self._clock.sleep(1)
            self._refresh.set()
            return
        served = known.served
        present = {one.rid for one in served}
        # What a server that does not answer has is not gone: its owners still own.
        present |= {rid for rid in self._watched if rid.api_version in known.stale}
        for rid in [rid for rid in self._watched if rid not in present]:
            del self._watched[rid]
            self._rids.pop((rid.api_version, rid.kind), None)
            self._deps.informers.drop(rid)
        for one in served:
            self._rids[one.rid.api_version, one.rid.kind] = one.rid
            wanted = {"list", "watch", "delete"} <= one.verbs and one.rid not in IGNORED
            if wanted and one.rid not in self._watched:
                self._watch(one.rid)

    def _watch(self, rid: ResourceId) -> None:
        informer = self._deps.informers.of(rid)
        self._watched[rid] = informer
        informer.on_change(lambda old, new: self._changed(rid, old, new))

    def _changed(self, rid: ResourceId, old: Json | None, new: Json | None) -> None:
        if new is None:
            if old is not None:
                self._gone(old)
            return
        node = node_of(rid, new)
        known = self._graph.nodes.get(node.uid)
        if known == node:
            return
        self._graph.put(node)
        if node.waits_for_dependents or node.orphans_dependents:
            self.queue.add(node.uid)
        for child, named in self._graph.misplaced(node, known):
            text = invalid_namespace(child, named)
            self._recorder.event(reference_of(child), "Warning", "OwnerRefInvalidNamespace", text)
        owners = [self._known(node, owner) for owner in node.owners]
        waiting = [owner for owner in owners if owner is not None and owner.waits_for_dependents]
        for owner in waiting:
            self.queue.add(owner.uid)  # it may have stopped holding that one up
        if node.leaving:
            return
        if None in owners:
            self.queue.add_after(node.uid, UNKNOWN_OWNER_S)
        elif waiting:
            self.queue.add(node.uid)

    def _known(self, node: Node, owner: Owner) -> Node | None:
        """The owner in the graph, if it is the one that was meant: an owner in another namespace,
        or of another kind, is none.
        """
        known = self._graph.nodes.get(owner.uid)
        if known is None or (known.key.name, known.rid.kind) != (owner.name, owner.kind):
            return None
        elsewhere = known.rid.namespaced and known.key.namespace != node.key.namespace
        return None if elsewhere else known

    def _gone(self, obj: Json) -> None:
        uid = obj["metadata"]["uid"]
        node = self._graph.nodes.get(uid)
        self._graph.drop(uid)
        for child in self._graph.dependents(uid):
            self.queue.add(child.uid)
        # A foreground owner may have waited for this one.
        for owner in node.owners if node else ():
            waiting = self._graph.nodes.get(owner.uid)
            if waiting is not None and waiting.waits_for_dependents:
                self.queue.add(owner.uid)

    async def reconcile(self, uid: str) -> float | None:
        node = self._graph.nodes.get(uid)
        if node is None:
            return None
        if node.orphans_dependents:
            await self._orphan(node)
        elif node.waits_for_dependents:
            await self._advance_foreground(node)
        if node.owners and not node.leaving:
            await self._judge(node)
        return None

    async def _judge(self, cached: Node) -> None:
        """Delete it, or drop what dangles, depending on its owners as they are now."""
        found = await self._client.find(cached.rid, cached.key.name, cached.key.namespace)
        if found is None or found["metadata"]["uid"] != cached.uid:
            return
        node = node_of(cached.rid, found)
        if node.leaving or not node.owners:
            return
        owners = await self._owners(node)
        if owners.solid:
            lost = {owner.uid for owner in (*owners.dangling, *owners.waiting)}
            if lost:
                await self._drop_references(node, lost)
            return
        children = self._graph.dependents(node.uid)
        if owners.waiting and children:
            if any(child.waits_for_dependents for child in children):
                # They wait for each other in a circle: this one stops holding its owner up.
                await self._unblock(node)
            await self._delete(node, "Foreground")
            return
        if ORPHAN in node.finalizers:
            policy = "Orphan"
        else:
            policy = "Foreground" if FOREGROUND in node.finalizers else "Background"
        await self._delete(node, policy)

    async def _unblock(self, node: Node) -> None:
        def change(meta: Json) -> Json:
            known = meta.get("ownerReferences") or ()
            return {"ownerReferences": [{**item, "blockOwnerDeletion": False} for item in known]}

        await self._patch_metadata(node, change)

    async def _owners(self, node: Node) -> Owners:
        solid: list[Owner] = []
        dangling: list[Owner] = []
        waiting: list[Owner] = []
        for owner in node.owners:
            known = self._known(node, owner)
            if known is None:
                gone = await self._is_absent(node, owner)
                (dangling if gone else solid).append(owner)
            elif known.waits_for_dependents:
                waiting.append(owner)
            else:
                solid.append(owner)
        return Owners(tuple(solid), tuple(dangling), tuple(waiting))

    async def _is_absent(self, node: Node, owner: Owner) -> bool:
        """Asked from the server: the graph may be late, or not watch that kind."""
        about = (node.key.namespace, owner.kind, owner.name, owner.uid)
        if about in self._absent:
            return True
        rid = self._rids.get((owner.api_version, owner.kind))
        if rid is None:
            self._refresh.set()
            raise NotFound(f"{owner.api_version} {owner.kind} is not served (now)")
        namespace = node.key.namespace if rid.namespaced else ""
        if rid.namespaced and not namespace:
            # Such an owner cannot be found, which does not mean that it is gone.
            raise Terminal(f"{node.rid.qualified} {node.key} names an owner inside a namespace")
        found = await self._client.find(rid, owner.name, namespace)
        if found is not None and found["metadata"]["uid"] == owner.uid:
            return False
        self._absent[about] = None
        if len(self._absent) > REMEMBERED:
            self._absent.popitem(last=False)
        return True

    async def _advance_foreground(self, node: Node) -> None:
        blockers = self._graph.blockers(node.uid)
        if not blockers:
            await self._drop_finalizer(node, FOREGROUND)
            return
        for child in blockers:
            if not child.leaving:
                self.queue.add(child.uid)

    async def _orphan(self, node: Node) -> None:
        children = self._graph.dependents(node.uid)
        await asyncio.gather(*(self._drop_references(child, {node.uid}) for child in children))
        await self._drop_finalizer(node, ORPHAN)

    async def _delete(self, node: Node, policy: str) -> None:
        await self._client.delete(
            node.rid, node.key.name, node.key.namespace, uid=node.uid, propagation=policy
        )

    async def _drop_references(self, node: Node, lost: Iterable[str]) -> None:
        removed = frozenset(lost)

        def change(meta: Json) -> Json:
            kept = [
                item for item in meta.get("ownerReferences") or () if item["uid"] not in removed
            ]
            return {"ownerReferences": kept or None}

        await self._patch_metadata(node, change)

    async def _drop_finalizer(self, node: Node, finalizer: str) -> None:
        def change(meta: Json) -> Json:
            kept = [name for name in meta.get("finalizers") or () if name != finalizer]
            return {"finalizers": kept or None}

        await self._patch_metadata(node, change)

    async def _patch_metadata(self, node: Node, change: Callable[[Json], Json]) -> None:
        """Against the newest state, so that nobody's concurrent change is undone."""
        while True:
            found = await self._client.find(node.rid, node.key.name, node.key.namespace)
            if found is None or found["metadata"]["uid"] != node.uid:
                return
            meta = found["metadata"]
            body = {"metadata": {"resourceVersion": meta["resourceVersion"], **change(meta)}}
            try:
                await self._client.patch(
                    node.rid,
                    node.key.name,
                    body,
                    namespace=node.key.namespace,
                    kind=PatchKind.MERGE,
                )
            except NotFound:
                return
            except Conflict:
                continue
            return
