"""The pod network contract: what the kubelet asks of whoever wires pods together.

    kubelet: sandbox created (network namespace pinned at a path, `lo` up)
        -> attach(sandbox, netns, pod)   interface, addresses, routes; answers the pod's IPs
        ...
        -> detach(sandbox, netns)        everything that attach made is gone

Pods with `hostNetwork` never come here. An answer is kept by the network itself (on disk or in the
kernel), not by the kubelet: after a restart of either side `attach` of the same sandbox answers the
same addresses and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sampan.api.meta import Key


class NetworkNotReady(Exception):
    """The network cannot take pods yet (no podCIDR, say); the kubelet retries and says why."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of the node that leads to a port of the pod."""

    port: int
    container_port: int
    protocol: str = "TCP"
    host_ip: str = ""
    """Empty = every address of the node."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """What a pod asks of the network beyond an address."""

    host_ports: tuple[HostPort, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    """The pod's; bandwidth limits are asked for there."""


class PodNetwork(Protocol):
    """One node's pod network. Methods are idempotent and may run at the same time for different
    sandboxes, never for the same one.
    """

    async def attach(self, sandbox: str, netns: str, pod: Key) -> tuple[str, ...]:
        """Wire the namespace pinned at `netns`; the pod's IPs, the primary one first.

        Raises NetworkNotReady, or OSError with a message for the pod's event.
        """
        ...

    async def detach(self, sandbox: str, netns: str) -> None:
        """Give everything back; an unknown sandbox or a namespace already gone is fine."""
        ...


class HostPorts(Protocol):
    """Optional second half of a pod network: hostPort mappings, as desired state of the node."""

    async def publish(self, sandbox: str, ips: tuple[str, ...], wanted: Attachment) -> None:
        """Make `wanted` of this sandbox true, replacing what it had before."""
        ...

    async def withdraw(self, sandbox: str) -> None: ...
