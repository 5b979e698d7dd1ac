"""iptables of one address family: whole tables as text, in and out."""

from __future__ import annotations

from typing import Protocol


class IptablesError(Exception):
    """iptables refused; nothing of the transaction is in force."""


class Iptables(Protocol):
    """One family in one network namespace. Calls block: they start a program."""

    family: int
    """4 or 6."""

    def version(self) -> str:
        """Version and variant, such as `1.8.9 nf_tables` or `1.8.9 legacy`. Raises IptablesError
        where there is no iptables.
        """
        ...

    def save(self, *, counters: bool = False) -> str:
        """All tables, as iptables-save prints them."""
        ...

    def restore(self, script: str) -> None:
        """Apply a script of iptables-restore without flushing what it does not name; each table
        in one transaction. Raises IptablesError.
        """
        ...

    def fingerprint(self) -> bytes:
        """A value, cheap to read, that changes whenever the tables do."""
        ...

    def allow_localnet(self) -> None:
        """Let packets from 127.0.0.1 leave through other interfaces (route_localnet)."""
        ...
