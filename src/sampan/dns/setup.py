"""What a plugin's `setup` is given: its words, the block it stands in, and the world outside.

A plugin changes its block's settings here (addresses to bind, TLS, limits) and keeps what it needs
of the world (clock, log, counters, HTTP pages); it opens nothing before `start`.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sampan.dns import names
from sampan.dns.corefile import CorefileError, Token
from sampan.dns.counters import Counters
from sampan.dns.directive import Directive
from sampan.dns.plugin import Plugin, Query
from sampan.std.clock import Clock, SystemClock
from sampan.std.http import Handler as HttpHandler

Closer = Callable[[], Awaitable[None]]
Tap = Callable[[bytes, str], None]


class Log(Protocol):
    """Lines as CoreDNS prints them, on standard output: `[INFO] plugin/reload: ...`."""

    debugging: bool

    def info(self, text: str) -> None: ...

    def warning(self, text: str) -> None: ...

    def error(self, text: str) -> None: ...

    def plain(self, text: str) -> None: ...

    def debug(self, text: str) -> None: ...

    def query(self, text: str) -> None:
        """One more of the lines that come with every query: as `info`, but not at once."""
        ...


class Pages(Protocol):
    """HTTP pages by address; equal addresses share one socket, also across a reload."""

    async def serve(self, address: str, handler: HttpHandler, tls: Any = None) -> Closer: ...


class Feeds(Protocol):
    """Where a plugin's watching half runs: a process of its own, or this one."""

    def start(
        self,
        name: str,
        work: Callable[[Callable[[bytes], None]], Awaitable[None]],
        receive: Callable[[bytes], None],
    ) -> Closer:
        """Run `work(send)` apart; what it sends arrives here, in order, at `receive`."""
        ...  # fmt: skip


class Others(Protocol):
    """Further processes that answer; one that is silent is left out."""

    async def counters(self) -> list[str]: ...

    def watch(self) -> None:
        """Begin to count who asks most."""
        ...

    async def seen(self) -> list[str]:
        """What they counted since (`top.Top.dump`); they stop."""
        ...


class Resolver(Protocol):
    """The names of the machine itself, for `forward` to a host name."""

    def __call__(self, host: str) -> list[str]: ...


@dataclass(slots=True)
class World:
    """What lies outside of one loaded configuration; survives a reload."""

    log: Log
    pages: Pages
    feeds: Feeds
    counters: Counters = field(default_factory=Counters)
    clock: Clock = field(default_factory=SystemClock)
    chance: random.Random = field(default_factory=random.Random)
    environment: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    addresses: Callable[[], list[tuple[str, str]]] = list
    """Interfaces of this machine with their addresses."""
    changed: Callable[[Sequence[Hashable]], None] = lambda tags: None
    """Says that replies with these tags no longer hold."""
    zone_changed: Callable[[str], None] = lambda zone: None
    """Says that a zone has new content, for those who notify secondaries."""
    reload: Callable[[], Awaitable[str]] | None = None
    """Load the Corefile anew; the text of the failure, if any."""
    tap: Callable[[Tap | None], None] = lambda tap: None
    """Shows every query and its client to someone, until that is None again."""
    tell: Callable[[], None] = lambda: None
    """Have the fast path report what it answered; before counters are shown."""
    others: Others | None = None
    """Further processes that answer at the same port."""
    corefile: Callable[[], bytes] = lambda: b""
    """The Corefile as it stands now, imports included."""
    shared: dict[str, Any] = field(default_factory=dict)
    """What plugins share between blocks and keep across reloads."""


@dataclass(slots=True)
class Settings:
    """What plugins may decide about the block they stand in."""

    keys: tuple[str, ...] = (".",)
    """Zones, lower-case, with a final dot."""
    port: str = "53"
    transport: str = "dns"
    hosts: list[str] = field(default_factory=lambda: [""])
    root: str = ""
    debug: bool = False
    stacktrace: bool = False
    chaos: bool = False
    """Whether queries of other classes than IN are let in."""
    sockets: int = 1
    tls: Any = None
    read_timeout_s: float = 3.0
    write_timeout_s: float = 5.0
    idle_timeout_s: float = 10.0
    max_tcp_queries: int = 128
    shed: int = 0
    view: str = ""
    filter: Callable[[Query], bool] | None = None
    tsig_keys: dict[str, bytes] = field(default_factory=dict)
    paths: tuple[str, ...] = ("/dns-query",)
    facts: tuple[str, ...] = ()
    """The zones of *metadata*."""
    plugins: dict[str, list[Plugin]] = field(default_factory=dict)
    """By name, complete when `start` is called."""

    def all_plugins(self) -> list[Plugin]:
        return [plugin for found in self.plugins.values() for plugin in found]


class Args(Directive):
    """A plugin's words, with its block and the world."""

    def __init__(self, tokens: Sequence[Token], block: Settings, world: World) -> None:
        super().__init__(tokens)
        self.block = block
        self.world = world

    def zones(self, words: Sequence[str]) -> tuple[str, ...]:
        """Zones from arguments, the block's own when there are none; networks are expanded."""
        if not words:
            return self.block.keys
        return tuple(zone for word in words for zone in zones_of(word))

    def path(self, name: str) -> str:
        """A file name, relative to the block's `root`."""
        return name if name.startswith("/") else self.block.root + name


def zones_of(word: str) -> list[str]:
    """The zones that a word spells: a name, or a network; a scheme and a port are left off."""
    host = word.split("://", 1)[-1]
    try:
        return split_host_port(host)[0]
    except CorefileError:
        return []


def split_host_port(text: str) -> tuple[list[str], str]:
    """Zones and port of `example.org:53` or `10.0.0.0/24:53`. Raises CorefileError."""
    name, colon, tail = text.rpartition(":")
    if colon and not tail:
        raise CorefileError(f'expecting data after last colon: "{text}"')
    port = ""
    if colon and tail.lstrip("+-").isdigit():
        port, text = str(int(tail)), name
    if len(text) > names.MAX_NAME:
        raise CorefileError(f"specified zone is too long: {len(text)} > 255")
    if not is_domain(text):
        raise CorefileError(f"zone is not a valid domain name: {text}")
    if "/" in text and text.split("/")[0][-1:].isalnum() | text.split("/")[0].endswith(":"):
        try:
            return names.zones_of_network(text), port
        except ValueError:
            pass
    return [names.fqdn(text).lower()], port


def is_domain(text: str) -> bool:
    """Whether the labels are of legal length; a colon or odd characters are no domain either."""
    if text in ("", "."):
        return True
    if ".." in text or text.startswith("."):
        return False
    try:
        names.wire(names.fqdn(text))
    except names.BadName:
        return False
    return True
