"""The Service proxy with the real kernel: wired for an agent, or alone with upstream's flags."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.cluster.parts.proxy_kernel import Kernel, real_kernel
from sampan.linux.base.conntrack import Conntrack
from sampan.linux.base.links import Links
from sampan.linux.base.nft import NftError
from sampan.loop.events import Recorder
from sampan.loop.informers import Informers
from sampan.proxy.backend import Backend, BackendError
from sampan.proxy.backends.iptables.backend import IptablesBackend
from sampan.proxy.backends.userspace.localhost import LocalhostNodePorts
from sampan.proxy.config import configuration, seconds
from sampan.proxy.health import Wellbeing, health_pages
from sampan.proxy.metrics import Metrics
from sampan.proxy.pages import metrics_pages
from sampan.proxy.proxy import Proxy
from sampan.std import log
from sampan.std.clock import Clock, SystemClock
from sampan.std.httpd import Server, listener, serve

RULES_OF = {
    "nftables": "nftables",
    "userspace": "nftables",
    "ebpf": "nftables",
    "iptables": "iptables",
    "ipvs": "ipvs",
}
"""Whose rules a mode writes: those of the others are removed when a mode starts."""
_LOG = log.get("proxy")


class CannotRun(Exception):
    """This machine or this process cannot run the mode that was asked for; the message says why."""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Whose proxy it is, and the whole configuration (`sampan.proxy.config.configuration`)."""

    node_name: str
    config: Json = field(default_factory=configuration)
    cgroup: str = ""
    """In eBPF mode the sockets of this control group are translated; empty for all of them."""


def build(
    client: Client,
    settings: ProxySettings,
    kernel: Kernel | None = None,
    clock: Clock | None = None,
) -> ProxyPart:
    """The proxy of one node as a component. Call it inside the node's network namespace.
    Raises CannotRun.
    """
    config = settings.config
    kernel = kernel or real_kernel(config, settings.cgroup)
    clock = clock or SystemClock()
    config, backend = _backend(kernel, config)
    wellbeing = Wellbeing(clock, patience_s=2 * seconds(_period(config)))
    metrics = Metrics(config["mode"])
    if isinstance(backend, IptablesBackend):
        metrics.iptables(backend.totals, lambda: backend.written, backend.packets)
    informers = Informers(client, clock)
    recorder = Recorder(client, "kube-proxy", clock, settings.node_name)
    _tune(kernel.conntrack, config)
    proxy = Proxy(
        informers,
        backend,
        config,
        settings.node_name,
        kernel.conntrack,
        clock,
        metrics,
        wellbeing,
        others=_others(kernel, config["mode"]),
        local_ips=lambda: local_ips(kernel.links),
        tell=recorder.event,
    )
    if isinstance(backend, LocalhostNodePorts):
        backend.refused = proxy.node_port_refused
    return ProxyPart(proxy, informers, recorder, config, kernel)


@dataclass
class ProxyPart:
    """A component: the informers, events, the two HTTP ports and the proxy itself."""

    proxy: Proxy
    informers: Informers
    recorder: Recorder
    config: Json
    kernel: Kernel
    name: str = "proxy"

    async def run(self, started: Callable[[], None]) -> None:
        servers = await self._open()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.informers.run(), name="proxy informers")
                group.create_task(self.recorder.run(), name="proxy events")
                group.create_task(self.proxy.run(self._in_force(started)), name="proxy")
        finally:
            for server in servers:
                await server.close(0)
            self.kernel.close()

    def _in_force(self, started: Callable[[], None]) -> Callable[[], None]:
        """In another mode nobody needs the process that moved bytes for a proxy of before."""

        def call() -> None:
            if self.config["mode"] != "userspace":
                self.kernel.dismiss()
            started()

        return call

    async def _open(self) -> list[Server]:
        """The health and metrics ports; one that is taken is said, and fatal only if asked so."""

        def count(page: str, status: int) -> None:
            counter = getattr(self.proxy.metrics, page)
            counter.labels(str(status)).inc()

        registry = self.proxy.metrics.registry
        pages = (
            ("healthzBindAddress", health_pages(self.proxy.wellbeing, count)),
            ("metricsBindAddress", metrics_pages(registry, self.config, time.time())),
        )
        servers = []
        for field_name, handler in pages:
            address = self.config[field_name]
            if not address:
                continue
            try:
                sock = listener(*split(address))
            except OSError as error:
                if self.config["bindAddressHardFail"]:
                    raise CannotRun(f"{field_name} {address}: {error.strerror}") from error
                _LOG.error("a port cannot be opened", field=field_name, address=address, exc=error)
                continue
            servers.append(await serve(handler, sock=sock, name=field_name))
        return servers


def split(address: str) -> tuple[str, int]:
    """`host:port`, `[v6]:port`. Raises CannotRun."""
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise CannotRun(f"{address!r} is no address with a port, such as 0.0.0.0:10256")
    return host.strip("[]") or "0.0.0.0", int(port)


def local_ips(links: Links) -> tuple[str, ...]:
    """The addresses of this network namespace, without their prefix lengths."""
    found = (address.partition("/")[0] for link in links.all() for address in link.addresses)
    return tuple(dict.fromkeys(found))


FALL_BACK = {"ipvs": "iptables"}
"""Where a mode cannot run, another one takes its place, as upstream's articles have it."""


def _backend(kernel: Kernel, config: Json) -> tuple[Json, Backend[Any]]:
    """The backend of the mode that was asked for, and the configuration that is in force."""
    mode = config["mode"]
    backend, why = _probed(kernel, mode)
    if why and mode in FALL_BACK:
        other = FALL_BACK[mode]
        _LOG.warning("this mode cannot run here; falling back", mode=mode, to=other, why=why)
        config = {**config, "mode": other}
        backend, why = _probed(kernel, other)
    if backend is None or why:
        raise CannotRun(why)
    return config, backend


def _probed(kernel: Kernel, mode: str) -> tuple[Backend[Any] | None, str]:
    """The backend of a mode, and why it cannot run here."""
    make = kernel.backends.get(mode)
    if make is None:
        return None, f"mode {mode!r} cannot run here; there are {', '.join(kernel.backends)}"
    try:
        backend = make()
    except (NftError, OSError) as error:
        return None, str(error)
    return backend, backend.probe()


def _others(kernel: Kernel, mode: str) -> Sequence[Backend[Any]]:
    """The other modes that can run here at all, to remove what they left."""
    found = []
    for name, make in kernel.backends.items():
        if name in NOT_AFTER.get(mode, (mode, RULES_OF.get(mode))):
            continue
        if RULES_OF.get(name) == name or name == "ebpf":
            with contextlib.suppress(NftError, OSError):
                found.append(make())
    return found


NOT_AFTER = {"ipvs": ("ipvs", "iptables")}
"""IPVS mode has iptables' chains under the same names: it takes them over itself."""


def _period(config: Json) -> str:
    section = config["mode"] if config["mode"] in ("iptables", "ipvs", "nftables") else "nftables"
    period: str = config[section]["syncPeriod"]
    return period


def _tune(conntrack: Conntrack, config: Json) -> None:
    """Upstream's limits of connection tracking; 0 leaves the kernel's own."""
    asked = config["conntrack"]
    values = {}
    if asked["maxPerCore"]:
        values["nf_conntrack_max"] = max(
            int(asked["min"] or 0), int(asked["maxPerCore"]) * (os.cpu_count() or 1)
        )
    for name, field_name in (
        ("nf_conntrack_tcp_timeout_established", "tcpEstablishedTimeout"),
        ("nf_conntrack_tcp_timeout_close_wait", "tcpCloseWaitTimeout"),
        ("nf_conntrack_udp_timeout", "udpTimeout"),
        ("nf_conntrack_udp_timeout_stream", "udpStreamTimeout"),
    ):
        value = int(seconds(asked[field_name]))
        if value:
            values[name] = value
    if asked["tcpBeLiberal"]:
        values["nf_conntrack_tcp_be_liberal"] = 1
    failed = conntrack.tune(values)
    if failed:
        _LOG.warning(
            "limits of connection tracking stay as they are",
            **{name: f"{values[name]} ({why})" for name, why in sorted(failed.items())},
        )


def node_name(config: Json) -> str:
    """Upstream's rule: the override, or this machine's name in small letters."""
    name: str = config["hostnameOverride"]
    return (name or socket.gethostname()).strip().lower()


async def clean(kernel: Kernel) -> list[str]:
    """Remove what any mode has left: `--cleanup`. Returns what went wrong, by mode."""
    failed = []
    for mode, make in kernel.backends.items():
        try:
            await make().cleanup()
        except (BackendError, NftError, OSError) as error:
            failed.append(f"{mode}: {error}")
    kernel.dismiss()
    return failed
