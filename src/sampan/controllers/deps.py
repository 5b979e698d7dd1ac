"""What a controller is given: the API, shared caches, time, chance, a way to tell events."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from sampan.client.client import Client
from sampan.controllers.node_zones import Rates
from sampan.loop.events import Recorder
from sampan.loop.informers import Informers
from sampan.std.clock import Clock


@dataclass(frozen=True, slots=True)
class Settings:
    """What the flags say; durations in seconds. Defaults are upstream's."""

    cluster_cidrs: tuple[str, ...] = ()
    node_cidr_mask_ipv4: int = 24
    node_cidr_mask_ipv6: int = 64
    allocate_node_cidrs: bool = False
    node_monitor_grace_s: float = 50
    node_monitor_period_s: float = 5
    node_startup_grace_s: float = 60
    """A node that has never reported may take this long."""
    eviction_rates: Rates = field(default_factory=Rates)
    terminated_pod_threshold: int = 12500
    root_ca: str = ""
    """PEM that every namespace's kube-root-ca.crt holds; empty leaves them alone."""
    service_account_key: bytes = b""
    """PEM that signs the tokens of token Secrets."""
    service_account_issuer: str = "kubernetes/serviceaccount"
    signing_cert: bytes = b""
    signing_key: bytes = b""
    signing_duration_s: float = 365 * 24 * 3600
    concurrent: int = 8
    """Keys that one controller works on at a time."""


@dataclass(slots=True)
class Deps:
    """One per process; `recorders` are run by whoever runs the controllers."""

    client: Client
    informers: Informers
    clock: Clock
    settings: Settings = field(default_factory=Settings)
    client_for: Callable[[str], Client] | None = None
    """A client with the identity of a user; without it all share `client`."""
    chance: random.Random = field(default_factory=random.Random)
    recorders: list[Recorder] = field(default_factory=list)

    def client_of(self, account: str) -> Client:
        """As this service account of kube-system, whose role allows what its controller does."""
        if self.client_for is None:
            return self.client
        return self.client_for(f"system:serviceaccount:kube-system:{account}")

    def recorder(self, component: str, account: str = "") -> Recorder:
        """Events in the name of a component, written by its service account."""
        recorder = Recorder(self.client_of(account or component), component, self.clock)
        self.recorders.append(recorder)
        return recorder
