"""The kernel that a proxy programs: one network namespace, and every mode that can run in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any

from sampan.api.meta import Json
from sampan.linux.base.conntrack import Conntrack
from sampan.linux.base.links import Links
from sampan.linux.real.bpf import RealSocketBalancer
from sampan.linux.real.conntrack import RealConntrack
from sampan.linux.real.helper import RealHelper
from sampan.linux.real.ipset import RealIpsets
from sampan.linux.real.iptables import RealIptables
from sampan.linux.real.ipvs import RealIpvs
from sampan.linux.real.links import NetlinkLinks
from sampan.linux.real.nft import RealNft
from sampan.proxy.backend import Backend
from sampan.proxy.backends.ebpf.backend import EbpfBackend
from sampan.proxy.backends.iptables.backend import IptablesBackend
from sampan.proxy.backends.ipvs.backend import IpvsBackend, Options
from sampan.proxy.backends.nftables.backend import NftablesBackend
from sampan.proxy.backends.userspace.backend import UserspaceBackend
from sampan.proxy.backends.userspace.localhost import LocalhostNodePorts
from sampan.proxy.backends.userspace.succession import END, tell
from sampan.proxy.settings import Settings

MOVER = "sampan.proxy.backends.userspace.mover"
NOTHING = Settings("")


@dataclass(frozen=True, slots=True)
class Kernel:
    """What a proxy needs; `close` gives the descriptors back, and changes no rule."""

    conntrack: Conntrack
    links: Links
    backends: Mapping[str, Callable[[], Backend[Any]]]
    dismiss: Callable[[], None] = lambda: None
    """End the moving process of a proxy of before, where one goes on."""
    close: Callable[[], None] = lambda: None


def real_kernel(config: Json, cgroup: str = "", *, lasting: bool = False) -> Kernel:
    """The network namespace in which this thread is. Sockets are translated for the processes of
    `cgroup`, of the whole machine if it is empty. With `lasting` the moving process goes on for a
    while when the proxy ends, until the next one has taken over.
    """
    parts = _Real(config, cgroup, lasting)
    backends: dict[str, Callable[[], Backend[Any]]] = {
        "nftables": parts.nftables,
        "iptables": parts.iptables,
        "userspace": parts.userspace,
        "ebpf": parts.ebpf,
        "ipvs": parts.ipvs,
    }
    return Kernel(parts.conntrack, parts.links, backends, dismiss, parts.close)


def dismiss() -> None:
    tell(END, os.getpid())


class _Real:
    """Makes backends; they share one way into nftables."""

    def __init__(self, config: Json, cgroup: str, lasting: bool) -> None:
        self._config = config
        self._lasting = lasting
        self._cgroup = cgroup
        self.conntrack = RealConntrack()
        self.links = NetlinkLinks()

    @cached_property
    def nft(self) -> RealNft:
        return RealNft()

    @cached_property
    def virtual_servers(self) -> RealIpvs:
        return RealIpvs()

    def mover(self) -> RealHelper:
        return RealHelper(MOVER, ["lasting"] if self._lasting else [], lasting=self._lasting)

    def rules(self) -> NftablesBackend:
        return NftablesBackend(self.nft, NOTHING)

    def nftables(self) -> Backend[Any]:
        return LocalhostNodePorts(self.rules(), self.mover())

    def iptables(self) -> Backend[Any]:
        return IptablesBackend([RealIptables(4), RealIptables(6)], NOTHING)

    def userspace(self) -> Backend[Any]:
        mover = self.mover()
        return LocalhostNodePorts(UserspaceBackend(self.rules(), mover, NOTHING), mover)

    def ebpf(self) -> Backend[Any]:
        image = resources.files("sampan.proxy.backends.ebpf").joinpath("sockets.o").read_bytes()
        sockets = RealSocketBalancer(self._cgroup, image)
        inner = EbpfBackend(self.rules(), sockets, NOTHING)
        return LocalhostNodePorts(inner, self.mover())

    def ipvs(self) -> Backend[Any]:
        asked = self._config["ipvs"]
        tools = [RealIptables(4), RealIptables(6)]
        options = Options(
            asked["scheduler"], asked["strictARP"], tuple(asked["excludeCIDRs"] or ())
        )
        return IpvsBackend(self.virtual_servers, RealIpsets(), tools, options)

    def close(self) -> None:
        if "virtual_servers" in self.__dict__:
            self.virtual_servers.close()
        self.conntrack.close()
        self.links.close()
        if "nft" in self.__dict__:
            self.nft.close()
