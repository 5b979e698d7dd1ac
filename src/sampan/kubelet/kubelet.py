"""The kubelet: pods of this node from the API and from files, each led by a worker of its own.

    informer (spec.nodeName) --\\
                                dispatch -> Worker -> queue -> sync
    files, URL ----------------/              ^
    exits, probe results ---------------------/

Read `worker` for a pod's life, `plan` for its decisions, `kit` for what all of it stands on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable

from sampan.api.errors import ApiError
from sampan.api.meta import Json, Key
from sampan.client.transport import Unreachable
from sampan.kubelet import admission, dns, pods
from sampan.kubelet.kit import WARNING, Kit
from sampan.kubelet.rates import Rates
from sampan.kubelet.reporting import NodeReporter
from sampan.kubelet.status import OWN_CONDITIONS
from sampan.kubelet.worker import Ending, Worker
from sampan.linux.base.processes import RuntimeFailure
from sampan.loop.component import Component
from sampan.loop.informer import Informer
from sampan.loop.informers import Informers
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller
from sampan.std import log
from sampan.std.backoff import Backoff

RETRY = Backoff(first_s=0.1, factor=2, cap_s=20)
SPARE_WORKERS = 16
HOUSEKEEPING_S = 120.0
_LOG = log.get("kubelet")


class Kubelet:
    """A component, and the reconciler of its own queue of pod uids."""

    name = "kubelet"

    def __init__(
        self, kit: Kit, informers: Informers, informer: Informer, reporter: NodeReporter
    ) -> None:
        self.kit, self.informers, self.informer = kit, informers, informer
        self.reporter = reporter
        self.workers: dict[str, Worker] = {}
        self.queue: Queue[str] = Queue(kit.clock, RETRY)
        self.rates = Rates()
        self.sources: list[Component] = []
        """Where other pods than the API's come from; nothing is swept before they have started."""
        self.mirrors_wanted: Callable[[], None] = lambda: None
        """Called when the mirror of a static pod is missing or wrong."""
        informer.on_change(self._on_change)

    async def run(self, started: Callable[[], None]) -> None:
        kit = self.kit
        await kit.runtime.load()
        async with asyncio.TaskGroup() as group:
            for part in (kit.runtime.follow, kit.prober.run, kit.events.run, self.informers.run):
                group.create_task(part())
            group.create_task(kit.statuses.run(lambda: None))
            registered = asyncio.Event()
            group.create_task(self.reporter.run(registered.set))
            await self.informers.synced()
            for source in self.sources:
                loaded = asyncio.Event()
                group.create_task(source.run(loaded.set))
                await loaded.wait()
            await self._remove_orphans()
            self._check_resolv_conf()
            workers = kit.settings.max_pods + SPARE_WORKERS
            controller = Controller(self, self.queue, workers=workers)
            group.create_task(controller.run(lambda: None))
            group.create_task(self._refresh_for_ever())
            group.create_task(self._keep_house_for_ever())
            await registered.wait()
            started()

    def _check_resolv_conf(self) -> None:
        """Once, as upstream: what does not fit is a matter of the node, not of one pod."""
        settings = self.kit.settings
        trouble = dns.node_trouble(settings.dns)
        if trouble:
            name = settings.node_name
            node = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": name}
            self.kit.events.event(node, WARNING, dns.LIMITS, trouble)

    async def reconcile(self, uid: str, /) -> float | None:
        worker = self.workers.get(uid)
        if worker is None:
            return None
        again = await worker.sync()
        if worker.buried:
            self.workers.pop(uid, None)
        return again

    def wake(self, uid: str) -> None:
        """Something of this pod is another than it was."""
        worker = self.workers.get(uid)
        if worker is not None:
            worker.say_while_ending()
            self.queue.add(uid)

    def pods(self) -> list[Json]:
        """Every pod that is led here."""
        return [worker.pod for worker in self.workers.values()]

    def worker_named(self, key: Key) -> Worker | None:
        """The pod of that name; of two the one that is not on its way out."""
        found = [
            worker
            for worker in self.workers.values()
            if (worker.pod["metadata"]["namespace"], worker.pod["metadata"]["name"]) == key
        ]
        return min(found, key=lambda worker: worker.ending is not None, default=None)

    # -- where pods come from

    def _on_change(self, old: Json | None, new: Json | None) -> None:
        pod = new or old
        assert pod is not None
        if pods.is_mirror(pod):
            self._mirror_changed(pod, gone=new is None)
        elif new is None:
            if pod["metadata"].get("deletionTimestamp"):
                self._note(pod)  # its last state says with how much grace
            self.drop(pod["metadata"]["uid"])
        else:
            if old is not None and old["metadata"]["uid"] != new["metadata"]["uid"]:
                self.drop(old["metadata"]["uid"])
            self.kit.statuses.seen(new)
            if old is None or is_news(old, new):
                self.lead(new)
            else:
                self._note(new)

    def lead(self, pod: Json) -> None:
        """A pod to be run, or news of one."""
        uid = pods.uid_of(pod)
        worker = self.workers.get(uid)
        if worker is None:
            worker = Worker(self.kit, pod)
            self._admit(worker, pod)
            self.workers[uid] = worker
        worker.update(pod)
        self.queue.add(uid)

    def _note(self, pod: Json) -> None:
        """A status came back that most likely is our own: nothing to do but to know it."""
        worker = self.workers.get(pod["metadata"]["uid"])
        if worker is not None:
            worker.update(pod)

    def drop(self, uid: str) -> None:
        """It is not wished any more."""
        worker = self.workers.get(uid)
        if worker is not None:
            worker.end(Ending(deleted=True))
            self.queue.add(uid)

    def _admit(self, worker: Worker, pod: Json) -> None:
        """A pod that this kubelet has not led before must fit beside the others."""
        if pods.is_finished(pod) or pod["metadata"].get("deletionTimestamp"):
            return
        if self.kit.runtime.observe(pods.uid_of(pod)).sandboxes:
            return  # it ran before this kubelet was born
        others = [other.pod for other in self.workers.values() if not other.killed]
        why = admission.refusal(pod, others, self.reporter.node, self.kit.node.allocatable)
        if why is not None:
            self.kit.tell(pod, WARNING, why[0], why[1].removeprefix("Pod was rejected: "))
            worker.end(Ending(failure=why))

    def _mirror_changed(self, mirror: Json, *, gone: bool) -> None:
        worker = self.workers.get(pods.uid_of(mirror))
        if worker is not None:
            worker.mirror = None if gone else mirror
            if not gone:
                self.kit.statuses.seen(mirror)
            self.queue.add(pods.uid_of(mirror))
        self.mirrors_wanted()

    # -- keeping house

    async def _refresh_for_ever(self) -> None:
        """What volumes show follows its objects; a pod that is not well is looked at again."""
        while True:
            await self.kit.clock.sleep(self.kit.settings.periods.volumes_s)
            for worker in list(self.workers.values()):
                try:
                    await worker.refresh_volumes()
                except (ApiError, Unreachable, OSError) as error:
                    name = worker.pod["metadata"]["name"]
                    _LOG.warning("cannot refresh volumes", pod=name, error=error)

    async def _keep_house_for_ever(self) -> None:
        while True:
            await self.kit.clock.sleep(HOUSEKEEPING_S)
            await self.kit.runtime.sweep(self.kit.clock.now() - HOUSEKEEPING_S)
            await self._remove_orphans()

    async def _remove_orphans(self) -> None:
        """What is left of pods that nobody wishes: they were deleted while no kubelet ran."""
        kit = self.kit
        for uid in kit.runtime.pods() - set(self.workers):
            _LOG.info("removing a pod that is no longer wished", uid=uid)
            for box in kit.runtime.observe(uid).sandboxes:
                with contextlib.suppress(RuntimeFailure, OSError):
                    if not box.spec.host_network:
                        await kit.network.detach(box.spec.id, box.netns)
                    await kit.runtime.remove_sandbox(box.spec.id)
            await kit.runtime.forget(uid)
        for uid in _folders(f"{kit.settings.root_dir}/pods"):
            if uid not in self.workers:
                await kit.volumes.take_down(uid)
        logs = f"{kit.settings.root_dir}/logs/pods"
        for name in _folders(logs):
            if name.rpartition("_")[2] not in self.workers:
                await kit.offload(shutil.rmtree, f"{logs}/{name}", True)


def is_news(old: Json, new: Json) -> bool:
    """Whether a pod changed in what the kubelet does not write itself."""
    return _foreign(old) != _foreign(new)


def _foreign(pod: Json) -> tuple[object, ...]:
    meta, status = pod["metadata"], pod.get("status") or {}
    conditions = status.get("conditions") or ()
    return (
        meta["uid"], meta.get("deletionTimestamp"), meta.get("deletionGracePeriodSeconds"),
        meta.get("labels"), meta.get("annotations"), meta.get("generation"), pod["spec"],
        [c for c in conditions if c["type"] not in OWN_CONDITIONS],
    )  # fmt: skip


def _folders(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []
