"""Connection tracking: looking for UDP flows, and cutting single ones off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol


class Flow(NamedTuple):
    """A UDP flow: where the client sent it, and who answers it."""

    family: int
    """4 or 6."""
    source: str
    source_port: int
    destination: str
    destination_port: int
    answering: str
    answering_port: int
    tuple_: bytes = b""
    """The original direction as the kernel wrote it, to name the flow exactly."""


class Leading(NamedTuple):
    """All UDP flows sent to an address and port that an endpoint answers. An empty address, or port
    0, stands for every one.
    """

    family: int
    destination: str
    port: int
    answering: str = ""
    answering_port: int = 0


Place = tuple[str, int]
"""An address and a port; an empty address stands for every one."""


class Conntrack(Protocol):
    """The flows of one network namespace."""

    def flows(
        self,
        family: int,
        *,
        destination: str = "",
        port: int = 0,
        among: AbstractSet[Place] = frozenset(),
    ) -> Iterable[Flow]:
        """UDP flows, all or those to one address or port; the kernel filters where it can. Of these
        only those sent to a place `among` several, if there are any: others are passed over at a
        sixth of the cost.
        """
        ...

    def count(self) -> int:
        """How many connections of all kinds are tracked."""
        ...

    def delete(self, flows: Iterable[Flow]) -> int:
        """Forget these; returns how many were still there."""
        ...

    def forget(self, leading: Leading) -> bool:
        """Forget flows without looking at them first, several times faster than a look. False where
        the kernel cannot (before 6.8, and in IPv6): then nothing was done.
        """
        ...

    def liberal(self) -> bool:
        """Whether the kernel lets packets of TCP pass that are out of the window."""
        ...

    def tune(self, values: Mapping[str, int]) -> Mapping[str, str]:
        """Set limits and time-outs by their name under net.netfilter; what this kernel or this
        namespace does not let us set stays as it is, and is returned with the reason.
        """
        ...
