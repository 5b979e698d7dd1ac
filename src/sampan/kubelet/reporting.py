"""Registering the node, and telling the API server that it lives: status and Lease."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime

from sampan.api import kinds
from sampan.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from sampan.api.meta import Json
from sampan.client.client import Client, PatchKind
from sampan.client.transport import Unreachable
from sampan.client.trouble import told
from sampan.kubelet import node
from sampan.kubelet.images import Image
from sampan.kubelet.settings import KubeletSettings
from sampan.linux.base.machine import Machine
from sampan.std import log
from sampan.std.backoff import Backoff
from sampan.std.clock import Clock

LEASE_NAMESPACE = "kube-node-lease"
RETRY = Backoff(first_s=0.05, factor=2, cap_s=7, jitter=0)
_LOG = log.get("node")


class NodeReporter:
    """A component; it has started once the node is registered."""

    name = "node status"

    def __init__(
        self,
        client: Client,
        settings: KubeletSettings,
        machine: Machine,
        images: Callable[[], Iterable[Image]],
        clock: Clock,
    ) -> None:
        self.client, self.settings, self.clock = client, settings, clock
        self.machine, self.images = machine, images
        self.facts = machine.facts(settings.root_dir)
        self.node: Json = {}
        """The object as last seen."""
        self._reported = float("-inf")

    async def run(self, started: Callable[[], None]) -> None:
        if self.settings.registration.enabled:
            await self._insist(self._register, "register")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew_for_ever())
            group.create_task(self._report_for_ever())
            started()

    async def _register(self) -> None:
        """Make the Node with its status, or take over the one that is there."""
        wanted = node.node_object(self.settings, self.facts)
        wanted["status"] = self._status({})
        try:
            self.node = await self.client.create(kinds.NODES, wanted)
        except AlreadyExists:
            self.node = await self.client.get(kinds.NODES, self.settings.node_name)
            await self._reconcile(wanted)
            await self._report(force=True)
        self._reported = self.clock.monotonic()

    async def _reconcile(self, wanted: Json) -> None:
        """Labels that this kubelet owns."""
        have = self.node["metadata"].get("labels") or {}
        labels = wanted["metadata"]["labels"]
        if any(have.get(name) != value for name, value in labels.items()):
            body = {"metadata": {"labels": labels}}
            self.node = await self.client.patch(kinds.NODES, self.settings.node_name, body)

    async def _report_for_ever(self) -> None:
        while True:
            await self.clock.sleep(self.settings.periods.status_s)
            await self._insist(self._report, "report the status of", tries=5)

    async def _report(self, *, force: bool = False) -> None:
        """Patch the status when it is another one, or has not been said for long."""
        name = self.settings.node_name
        if not force:
            self.node = await self.client.get(
                kinds.NODES,
                name,
            )
        old = self.node.get("status") or {}
        new = self._status(old)
        late = self.clock.monotonic() - self._reported >= self.settings.periods.report_s
        if not (force or late or node.is_news(old, new)):
            return
        changes = {key: value for key, value in new.items() if value != old.get(key)}
        body = {"status": changes}
        self.node = await self.client.patch(
            kinds.NODES, name, body, kind=PatchKind.STRATEGIC, subresource="status"
        )
        self._reported = self.clock.monotonic()

    def _status(self, old: Json) -> Json:
        usage = self.machine.usage(self.settings.root_dir)
        now = self.clock.now()
        return node.node_status(self.settings, self.facts, usage, self.images(), now, old)

    async def _renew_for_ever(self) -> None:
        lease: Json = {}
        while True:
            lease = await self._renew(lease)
            await self.clock.sleep(self.settings.periods.lease_s / 4)

    async def _renew(self, lease: Json) -> Json:
        """The Lease as it is now; empty when it could not be renewed."""
        name = self.settings.node_name
        wanted = self._lease(lease)
        try:
            if lease:
                return await self.client.update(kinds.LEASES, wanted)
            return await self.client.create(kinds.LEASES, wanted, namespace=LEASE_NAMESPACE)
        except (AlreadyExists, Conflict):
            found = await self.client.find(kinds.LEASES, name, LEASE_NAMESPACE)
            return await self._renew(found) if found else {}
        except (ApiError, Unreachable) as error:
            is_news = self.client.trouble.news(error, self.clock.monotonic())
            tell = _LOG.warning if is_news else _LOG.debug
            tell("cannot renew the lease", node=name, error=told(error))
            return {} if isinstance(error, NotFound) else lease

    def _lease(self, lease: Json) -> Json:
        name = self.settings.node_name
        meta: Json = {"name": name, "namespace": LEASE_NAMESPACE, **lease.get("metadata", {})}
        owner = self.node.get("metadata", {}).get("uid")
        if owner and not meta.get("ownerReferences"):
            reference = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": owner}
            meta["ownerReferences"] = [reference]
        now = datetime.fromtimestamp(self.clock.now(), UTC)
        spec = {
            **(lease.get("spec") or {}),
            "holderIdentity": name,
            "leaseDurationSeconds": self.settings.periods.lease_s,
            "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        return {**lease, "metadata": meta, "spec": spec}

    async def _insist(
        self, what: Callable[[], Awaitable[None]], verb: str, *, tries: int = 1 << 30
    ) -> None:
        for attempt in range(tries):
            try:
                await what()
                return
            except (ApiError, Unreachable) as error:
                is_news = self.client.trouble.news(error, self.clock.monotonic())
                tell = _LOG.warning if is_news else _LOG.debug
                tell(f"cannot {verb} the node", node=self.settings.node_name, error=told(error))
                await self.clock.sleep(RETRY.delay(attempt))
