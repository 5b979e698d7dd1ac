"""The plugin contract: `setup(args) -> Plugin`, and `await plugin.answer(query, next) -> Reply`.

A reply is a value. A plugin may make one, hand the query on (changed or not) and change what comes
back; nobody holds a writer, so nobody has to wonder what was written already. A reply that says
how long it is valid may be kept by the fast path; the plugins on the way must then be `static`.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator, Hashable, Mapping
from typing import NamedTuple, Protocol

from sampan.dns import codes, names
from sampan.dns.message import Edns, Message, Question, Record

FOREVER = float("inf")


class Client(NamedTuple):
    """Who asks, and over what: the addresses of both ends and the way in."""

    address: str = "127.0.0.1"
    port: int = 0
    local: str = "127.0.0.1"
    local_port: int = 53
    proto: str = "udp"
    """`udp` or `tcp`: what decides about sizes and what the log says."""

    @property
    def family(self) -> int:
        return 2 if ":" in self.address else 1


class Server(Protocol):
    """The listening address that a query came in at; `resolve` asks it anew, through all its
    plugins, as a CNAME's target must be.
    """

    @property
    def name(self) -> str:
        """`dns://:53`, as metrics say it."""
        ...

    async def resolve(self, query: Query) -> Reply: ...


class Span(Protocol):
    """One step of a traced query."""

    def child(self, name: str) -> Span: ...

    def end(self) -> None: ...


class Query(NamedTuple):
    """What is asked. `name` is folded to lower case for look-ups; `message` is what came."""

    message: Message
    name: str
    type: int
    cls: int
    client: Client
    server: Server
    zone: str = "."
    """The zone of the server block that took it."""
    view: str = ""
    depth: int = 0
    """How many look-ups led to this one; a limit ends CNAME loops."""
    metadata: dict[str, Callable[[], str]] | None = None
    """Facts by `plugin/label`; plugins on the way add theirs. None without *metadata*."""
    wire: bytes = b""
    """As it came, for signatures."""
    span: Span | None = None
    """Where the time that it takes is noted, when it is traced."""

    @property
    def qname(self) -> str:
        """The name in the client's case."""
        question = self.message.question
        return question.name if question else "."

    @property
    def edns(self) -> Edns | None:
        return self.message.edns

    @property
    def do(self) -> bool:
        edns = self.message.edns
        return edns is not None and bool(edns.flags & codes.DO)

    @property
    def size(self) -> int:
        """How long the answer may be."""
        if self.client.proto == "tcp":
            return 65535
        return max(512, self.message.edns.size) if self.message.edns else 512

    @property
    def bound(self) -> str:
        """The address that the socket is bound to, which is not the one asked on a wildcard."""
        host = self.server.name.split("://", 1)[-1].rpartition(":")[0].strip("[]")
        return host or ("::" if self.client.proto == "udp" else self.client.local)

    def at(self, zone: str, view: str) -> Query:
        """The same, taken by a server block; without facts, which are each block's own."""
        if self.zone == zone and self.view == view and self.metadata is None:
            return self
        return self._replace(zone=zone, view=view, metadata=None)

    def asking(self, name: str, kind: int | None = None) -> Query:
        """The same client asking for another name or type."""
        wanted = self.type if kind is None else kind
        question = Question(name, wanted, self.cls)
        return self._replace(
            message=self.message._replace(question=question), name=name.lower(), type=wanted
        )


class Ages(NamedTuple):
    """The TTL of every record of a reply goes down: it was `ttl` at the monotonic time `since`."""

    since: float
    ttl: int
    next_s: float
    """When it next does; until then the reply holds for those who do not age it."""

    def left(self, now: float) -> int:
        return self.ttl - int(now - self.since)


class Outcome(NamedTuple):
    """What becomes of a name: a response code, its answers, and what goes with them."""

    rcode: int
    answers: tuple[bytes, ...] = ()
    """The data of each, with its length in front; all have the type that was asked for."""
    extras: tuple[bytes, ...] = ()
    """The additional records but for their class and TTL, which stand between each two pieces."""


class Family(NamedTuple):
    """Names that end in the same `labels` labels get replies that are alike, but for the question,
    the answers' owner and data, and additional records that belong to these. The plugin says of
    each what becomes of it; the fast path makes the rest of the reply from one that the chain gave
    to a name with an outcome of the same form.
    """

    labels: int
    outcome: Callable[[str, bytes], Outcome | None]
    """Asked for each query with the label in front of those, in lower case, and the labels in front
    of that one as they came. None: the chain must be asked.
    """
    tags: Callable[[str], tuple[Hashable, ...]]
    """What the outcome for a label depends on; for an empty one, what the family does."""


class Validity(NamedTuple):
    """How long a reply holds: until one of the tagged things changes, or until a time.

    Tags belong to the plugin that gave them; it drops them at the Memo when they change.
    """

    tags: tuple[Hashable, ...] = ()
    until: float = FOREVER
    below_labels: int = 0
    """Not 0: the reply is the same, but for its question, for every longer name that ends in as
    many labels of the name that was asked.
    """
    family: Family | None = None
    ages: Ages | None = None

    def kept_where(self, alike: Callable[[str], bool], name: str) -> Validity:
        """For other names only where all names below an end of this name are alike."""
        below, family = self.below_labels, self.family
        if below and not alike(names.end(name, below)):
            below = 0
        if family is not None and not alike(names.end(name, family.labels)):
            family = None
        return Validity(self.tags, self.until, below, family, self.ages)

    def as_it_is(self) -> Validity:
        """For no longer than its TTLs are right."""
        if self.ages is None:
            return self
        return self._replace(until=min(self.until, self.ages.next_s), ages=None)


class Seal(NamedTuple):
    """What is put behind the finished bytes of a reply, and how long it is."""

    size: int
    put: Callable[[bytes], bytes]


Hear = Callable[[str, int, int, str], None]
"""Takes the address and port of a repeated reply's client, its ID, and the name asked for in lower
case."""


class Reply(NamedTuple):
    """An answer. `flags` are header bits; `edns` only where it adds to what the query's OPT asks.

    `made` is False for a bare response code that no plugin wrote a message for: the server then
    makes one, and `cache` does not keep it. `error` is for the log.
    """

    rcode: int = codes.NOERROR
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    flags: int = 0
    edns: Edns | None = None
    limit: int = 0
    """A cap on the size of datagrams that is below what the client takes; 0 = none."""
    made: bool = True
    error: str = ""
    plugin: str = ""
    dropped: bool = False
    """Nothing at all is sent."""
    rotates: bool = False
    """The order of its addresses means nothing and may change with every answer."""
    validity: Validity | None = None
    """None: for this query only."""
    counts: tuple[Callable[[int, float], None], ...] = ()
    """Whoever counts replies hears here of those that the fast path repeated: how many, and the
    seconds that each of them took."""
    hears: tuple[Hear, ...] = ()
    """Whoever must hear of each reply that the fast path repeated: its client and its ID."""
    stream: tuple[tuple[Record, ...], ...] = ()
    """A zone transfer: the answer sections of its messages."""
    seal: Seal | None = None
    asked: Query | None = None
    """The query as *rewrite* handed it on, where it changed it: logs tell of that one."""

    # These are on every query's way: `_replace` takes three times as long.

    def made_by(self, plugin: str) -> Reply:
        return Reply(*self[:9], plugin, *self[10:])

    def counted(self, count: Callable[[int, float], None]) -> Reply:
        return Reply(*self[:13], (*self.counts, count), *self[14:])

    def heard(self, hear: Hear) -> Reply:
        return Reply(*self[:14], (*self.hears, hear), *self[15:])


Handler = Callable[[Query], Awaitable[Reply]]
DROP = Reply(dropped=True, made=False)


def reply_to(query: Query, *, aa: bool = True, rcode: int = codes.NOERROR) -> Reply:
    """An empty reply with the flags that every answer copies from its query."""
    return Reply(rcode, flags=reply_flags(query.message) | (codes.AA if aa else 0))


def reply_flags(asked: Message) -> int:
    """QR, and what is copied from the header of a plain query."""
    return codes.QR | (asked.flags & (codes.RD | codes.CD) if asked.opcode == codes.QUERY else 0)


def failure(rcode: int, error: str = "") -> Reply:
    """A response code that nobody wrote a message for."""
    return Reply(rcode, made=False, error=error)


NO_NEXT = "no next plugin found"


async def nobody(query: Query) -> Reply:
    """The end of a chain."""
    return failure(codes.SERVFAIL, NO_NEXT)._replace(plugin=" ")


@types.coroutine
def in_task() -> Generator[None, None, None]:
    """Awaited before the first wait that needs a task around it (asyncio.timeout): a query is
    answered without one for as long as nothing on its way waits.
    """
    yield


class Transferer(Protocol):
    """A plugin that can hand out whole zones."""

    def transfer(self, zone: str, serial: int) -> list[Record] | None:
        """All records of the zone, its SOA first and last; the SOA alone for a client that has this
        serial; None for a zone that is not ours.
        """
        ...


class Plugin:
    """What `setup` returns. Only `answer` must be written; the rest are hooks.

    `static` says that the plugin's answer depends on nothing but the question, the EDNS record and
    what comes back from the next plugin; the fast path keeps only what static plugins let through.
    """

    name = ""
    blamed = ""
    """The name in its errors, where that is another plugin's."""
    static = False
    nameless = False
    """What it does is the same for every name of its zone."""
    keeps_ttls = False
    """The TTLs of a reply pass it as they are, and it adds no records."""
    answers = True
    """False for a directive that only configures."""

    def alike(self, end: str) -> bool:
        """Whether it treats all names below this one the same."""
        return self.nameless

    def parts(self) -> tuple[Plugin, ...]:
        """Several where a directive stands in a block several times, each with its own zones."""
        return (self,)

    async def answer(self, query: Query, following: Handler) -> Reply:
        raise NotImplementedError

    async def start(self) -> None:
        """Before the first query, after the sockets are there."""

    async def run(self) -> None:
        """Work in the background until cancelled."""
        await asyncio.Event().wait()

    has_work = False
    """Whether `run` does anything."""

    async def stop(self) -> None:
        """After the last query; also before a reload lets go of the plugin."""

    async def shut_down(self) -> None:
        """When the process is about to end, not on a reload: time for a lame duck."""

    def ready(self) -> bool | None:
        """False while queries should go elsewhere; None when it has no opinion."""
        return None

    def metadata(self, query: Query) -> Mapping[str, Callable[[], str]]:
        """Facts about a query that other plugins may use, by `plugin/label`."""
        return {}
