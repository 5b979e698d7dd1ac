"""ipset: named sets that iptables rules match against."""

from __future__ import annotations

from typing import Protocol


class IpsetError(Exception):
    """ipset refused, or is not installed."""


class Ipsets(Protocol):
    """The sets of one network namespace."""

    def save(self) -> str:
        """All sets, as `ipset save` prints them. Raises IpsetError."""
        ...

    def restore(self, script: str) -> None:
        """Run a script of `ipset restore`. Raises IpsetError."""
        ...
