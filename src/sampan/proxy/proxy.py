"""The proxy as a component: watches Services, slices and its Node, and keeps a backend true.

    informers -> Tracker (marks) -> take -> render -> load -> conntrack, health, figures
                                     one batch in flight; what comes meanwhile waits for the next

No timer paces it: while one batch is loaded, changes gather by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.api import kinds
from sampan.api.meta import Json, Key
from sampan.linux.base.conntrack import Conntrack
from sampan.loop.informers import Informers
from sampan.proxy.backend import Aside, Backend, BackendError
from sampan.proxy.config import settings
from sampan.proxy.flows import Flows
from sampan.proxy.health import HealthPorts, Wellbeing
from sampan.proxy.metrics import Metrics
from sampan.proxy.model import Health, Port
from sampan.proxy.settings import Settings
from sampan.proxy.tracker import Change, Tracker
from sampan.services.answer import Place
from sampan.std import log
from sampan.std.backoff import Backoff
from sampan.std.clock import Clock

OURS = "!service.kubernetes.io/service-proxy-name"
UNMARKED = f"!service.kubernetes.io/headless,{OURS}"
"""Of slices only: a Service that has a cluster IP is no headless one, whatever its labels say."""
ZONE = "topology.kubernetes.io/zone"
TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"
RETRY = Backoff(first_s=0.05, factor=2, cap_s=10)
CIDR_PATIENCE_S = 2.0
"""A server without ServiceCIDRs, or without leave to read them, must not stop the proxy."""
FULL_SYNC_S = 3600.0
"""As upstream: so often everything is compared, in case that something went unnoticed."""
PORTS_AGAIN_S = 5.0
"""How often a health check node port that somebody else has is tried again."""
Tell = Callable[[Json, str, str, str], None]
"""An event: about which object, Normal or Warning, reason and message."""
_LOG = log.get("proxy")


@dataclass
class Proxy:
    """`backend` is told; `others` are the modes that an earlier run may have left behind."""

    informers: Informers
    backend: Backend[Any]
    config: Json
    node_name: str
    conntrack: Conntrack
    clock: Clock
    metrics: Metrics
    wellbeing: Wellbeing
    others: Sequence[Backend[Any]] = ()
    local_ips: Callable[[], Sequence[str]] = lambda: ()
    aside: Aside = asyncio.to_thread
    tell: Tell = lambda *_: None
    name: str = field(default="proxy", init=False)

    def __post_init__(self) -> None:
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._tracker = Tracker(Place(self.node_name, ""))
        self._node: Json | None = None
        self._settings: Settings | None = None
        self._resync = True
        self._triggers: list[float] = []
        self._checks: dict[Key, Health] = {}
        self._health = HealthPorts(lambda: self.wellbeing.healthy, refused=self._refused)
        self._flows = Flows(
            self.conntrack,
            self.clock,
            self.metrics,
            self._tracker.model,
            self.local_ips,
            self.aside,
        )
        self.metrics.no_local(self._without_local)
        self._services = self.informers.of(kinds.SERVICES, labels=OURS)
        self._slices = self.informers.of(kinds.ENDPOINTSLICES, labels=UNMARKED)
        self._nodes = self.informers.of(kinds.NODES, fields=f"metadata.name={self.node_name}")
        self._cidrs = self.informers.of(kinds.SERVICECIDRS)

    async def run(self, started: Callable[[], None]) -> None:
        """Program what is there, call `started`, and follow every change until cancelled."""
        self._listen()
        try:
            async with asyncio.TaskGroup() as group:
                await self._synced()
                group.create_task(self._watch_others(), name="proxy disturbed")
                await self._settle()
                started()
                self.tell(_node_reference(self.node_name), "Normal", "Starting", "")
                group.create_task(self._every_hour(), name="proxy full sync")
                group.create_task(self._open_again(), name="proxy health ports")
                for other in self.others:
                    group.create_task(self._forget(other), name=f"proxy cleanup {other.name}")
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    await self._follow(group)
        finally:
            await self._health.close()

    # News.

    def _listen(self) -> None:
        self._services.on_change(self._on_service)
        self._slices.on_change(self._on_slice)
        self._nodes.on_change(self._on_node)
        self._cidrs.on_change(lambda *_: self._settings_changed())

    def _on_service(self, old: Json | None, new: Json | None) -> None:
        self._tracker.service(old, new)
        self.metrics.queue(self.clock.now(), service=True)
        self._marked()

    def _on_slice(self, old: Json | None, new: Json | None) -> None:
        self._tracker.slice(old, new)
        self.metrics.queue(self.clock.now(), service=False)
        trigger = _trigger(new)
        if trigger is not None and old is not None:
            self._triggers.append(trigger)
        self._marked()

    def _on_node(self, old: Json | None, new: Json | None) -> None:
        self._node = new
        self.wellbeing.see_node(new)
        labels = ((new or old or {}).get("metadata") or {}).get("labels") or {}
        self._tracker.move(Place(self.node_name, labels.get(ZONE, "")))
        self._settings_changed()

    def _marked(self) -> None:
        self.wellbeing.queue()
        self._wake.set()

    def _settings_changed(self) -> None:
        """Only what differs costs a resync; a heartbeat of the Node does not."""
        if self._settings is not None and self._current() != self._settings:
            self._resync = True
        if self._resync or len(self._tracker):
            self._marked()

    def _current(self) -> Settings:
        ranges = [
            cidr
            for obj in self._cidrs.items()
            for cidr in (obj.get("spec") or {}).get("cidrs") or ()
        ]
        return settings(
            self.config,
            node_name=self.node_name,
            node=self._node,
            service_cidrs=sorted(ranges),
            local_ips=self.local_ips(),
            liberal=self.conntrack.liberal(),
        )

    # Work.

    async def _synced(self) -> None:
        for informer in (self._services, self._slices, self._nodes):
            await informer.synced.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CIDR_PATIENCE_S):
                await self._cidrs.synced.wait()
        await self._wait_for_node()
        if self._node is None:
            _LOG.warning(
                "there is no Node of this name; see --hostname-override", node=self.node_name
            )
        elif not any(one.node_ips for one in self._current().families):
            _LOG.warning("the Node has no address; see --bind-address", node=self.node_name)

    async def _wait_for_node(self) -> None:
        """NodeCIDR needs the range that the control plane gives the Node a little later."""
        if self.config["detectLocalMode"] != "NodeCIDR":
            return
        while not ((self._node or {}).get("spec") or {}).get("podCIDR"):
            await self._wake.wait()
            self._wake.clear()

    async def _settle(self) -> None:
        """Everything at once, again and again until the kernel takes it."""
        failures = 0
        while True:
            begun = self.clock.monotonic()
            try:
                self._resync = False
                self._settings = self._current()
                self.backend.configure(self._settings)
                with collecting_later():
                    self._tracker.take()
                await self._open_checks()
                with collecting_later():
                    await self.backend.resync(self._tracker.model)
                self._settled.set()
                break
            except BackendError as error:
                self._resync = True
                # Until it succeeds a change waits: that is what /healthz goes by.
                self.wellbeing.queue()
                self._failed("cannot program the kernel", error)
                await self.clock.sleep(RETRY.delay(failures))
                failures += 1
        gc.freeze()
        await self._after(begun, full=True)
        await self._flows.at_start()

    async def _follow(self, group: asyncio.TaskGroup) -> None:
        if self._resync:
            await self._settle()
            return
        begun = self.clock.monotonic()
        with collecting_later():
            changes = self._tracker.take()
        if changes:
            await self._change_checks(changes)
            try:
                # What is to be collected is collected once the kernel has been told.
                with collecting_later():
                    await self.backend.load(
                        [self.backend.render(one.key, one.old, one.new) for one in changes]
                    )
            except BackendError as error:
                self._failed("a change was refused; comparing with the kernel", error, full=False)
                await self._settle()
                return
        await self._after(begun, full=False)
        flows = self._flows.concerned(changes)
        if flows:
            group.create_task(self._flows.after(flows), name="proxy conntrack")

    async def _after(self, begun: float, *, full: bool) -> None:
        now = self.clock.now()
        self.wellbeing.done()
        self.metrics.synced(self.clock.monotonic() - begun, now, full=full)
        triggers, self._triggers = self._triggers, []
        for trigger in triggers:
            for family in ("IPv4", "IPv6"):
                self.metrics.programming.labels(family).observe(max(0.0, now - trigger))

    async def _open_checks(self) -> None:
        """Health check node ports open before the rules that send traffic here."""
        model = self._tracker.model
        self._checks = {key: rules.health for key, rules in model.items() if rules.health}
        self._health.addresses = self._health_addresses()
        await self._health.sync(self._checks)

    async def _change_checks(self, changes: Sequence[Change]) -> None:
        concerned = [one for one in changes if one.key in self._checks or _checked(one)]
        for one in concerned:
            self._checks.pop(one.key, None)
            if one.new and one.new.health:
                self._checks[one.key] = one.new.health
        if concerned:
            await self._health.sync(self._checks)

    async def _watch_others(self) -> None:
        while True:
            await self.backend.disturbed()
            _LOG.warning("somebody else changed the rules; repairing", mode=self.backend.name)
            self._resync = True
            self._settled.clear()
            self._marked()
            # What is noticed before the repair is done is part of it.
            begun = self.clock.monotonic()
            await self._settled.wait()
            took = f"{self.clock.monotonic() - begun:.3f}"
            _LOG.warning("repaired", mode=self.backend.name, took_s=took)

    async def _forget(self, other: Backend[Any]) -> None:
        """What another mode left is removed once the own rules are in force."""
        try:
            await other.cleanup()
        except BackendError as error:
            self.metrics.not_cleaned()
            _LOG.warning("cannot remove another mode's rules", mode=other.name, error=error)

    async def _every_hour(self) -> None:
        while True:
            await self.clock.sleep(FULL_SYNC_S)
            self._resync = True
            self._wake.set()

    async def _open_again(self) -> None:
        while True:
            await self.clock.sleep(PORTS_AGAIN_S)
            if self._health.waiting:
                await self._health.again()

    def _failed(self, message: str, error: BackendError, *, full: bool = True) -> None:
        self.metrics.failed(full=full)
        _LOG.error(message, mode=self.backend.name, error=error)

    def _refused(self, key: Key, why: str) -> None:
        """A health check node port is somebody else's."""
        obj = self._services.get(key)
        if obj is not None:
            self.tell(obj, "Warning", "FailedToStartServiceHealthcheck", why)

    def node_port_refused(self, key: Key, why: str) -> None:
        """A node port at the loopback address is somebody else's."""
        obj = self._services.get(key)
        if obj is not None:
            self.tell(obj, "Warning", "FailedToOpenNodePort", why)

    def _without_local(self, family: int, policy: str) -> float:
        """How many Services have endpoints, but none here, where the policy asks for one."""
        return sum(
            any(port.family == family and _no_local(port, policy) for port in rules.ports)
            for rules in self._tracker.model.values()
        )

    def _health_addresses(self) -> tuple[str, ...]:
        """Where node ports are served; nothing stands for every local address."""
        families = self._settings.families if self._settings else ()
        if any(one.localhost_node_ports for one in families):
            return ()
        if any(one.node_port_ips is None for one in families):
            return tuple(ip for ip in self.local_ips() if _reachable(ip))
        return tuple(ip for one in families for ip in one.node_port_ips or ())


def _node_reference(name: str) -> Json:
    """As upstream's components name their own node."""
    return {"kind": "Node", "name": name, "uid": name, "namespace": ""}


def _no_local(port: Port, policy: str) -> bool:
    if not port.any or port.local:
        return False
    if policy == "internal":
        return port.internal_local
    outside = port.node_port or port.external_ips or port.load_balancer_ips
    return port.external_local and bool(outside)


def _checked(change: Change) -> bool:
    return change.new is not None and change.new.health is not None


def _reachable(ip: str) -> bool:
    return not ip.startswith(("127.", "fe80:")) and ip != "::1"


@contextlib.contextmanager
def collecting_later() -> Iterator[None]:
    """Hundreds of thousands of objects that all stay: looking for garbage among them costs as much
    as making them.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _trigger(obj: Json | None) -> float | None:
    """When the change that a slice tells of began."""
    notes = ((obj or {}).get("metadata") or {}).get("annotations") or {}
    text = notes.get(TRIGGER)
    if not text:
        return None
    try:
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
