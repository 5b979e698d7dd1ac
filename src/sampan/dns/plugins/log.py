"""*log* writes a line for every query."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from sampan.dns import codes, names
from sampan.dns.classify import CLASSES, OTHER, kind_of
from sampan.dns.corefile import CorefileError
from sampan.dns.finish import finish, question_size, reply_size
from sampan.dns.plugin import Handler, Hear, Plugin, Query, Reply, reply_flags
from sampan.dns.setup import Args, World

MOST_EDNS = 64
"""What an OPT record adds to a reply, at most; more is rare."""
COMMON = (
    '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" '
    "{rcode} {>rflags} {rsize} {duration}"
)
COMBINED = COMMON + ' "{>opcode}"'
FLAGS = (
    (codes.QR, "qr"), (codes.AA, "aa"), (codes.TC, "tc"), (codes.RD, "rd"), (codes.RA, "ra"),
    (codes.Z, "z"), (codes.AD, "ad"), (codes.CD, "cd"),
)  # fmt: skip
_PLACE = re.compile(r"\{[^{}]*\}")


class Event(NamedTuple):
    """One answered query; `asked` is what *rewrite* made of it."""

    query: Query
    asked: Query
    reply: Reply
    size: int
    reply_size: int
    seconds: float


Show = Callable[[Event], str]
Say = Callable[[str, int, int, str], str]
"""The line for a client's address and port, the query's ID and the name."""


class Line(NamedTuple):
    """A format with a `%s` for each of `shows`."""

    form: str
    shows: tuple[Show, ...]

    def text(self, event: Event) -> str:
        return self.form % tuple([show(event) for show in self.shows])

    def repeated(self, event: Event) -> Say:
        """The line of this question and reply for others who ask the same, or a name of the same
        length. Metadata is told of no repeated reply: it keeps replies off the fast path.
        """
        told = [EACH.get(show) or _braced(show(event)) for show in self.shows]
        form = (_braced(self.form) % tuple(told)).format
        return lambda address, port, ident, name: form(_bracketed(address), port, ident, name)


@lru_cache(maxsize=256)
def _flags(bits: int) -> str:
    return ",".join(name for bit, name in FLAGS if bits & bit)


LABELS: dict[str, Show] = {
    "{type}": lambda e: codes.type_name(e.asked.type),
    "{name}": lambda e: e.query.name,
    "{class}": lambda e: codes.class_name(e.asked.cls),
    "{proto}": lambda e: e.query.client.proto,
    "{size}": lambda e: str(e.size),
    "{remote}": lambda e: _bracketed(e.query.client.address),
    "{port}": lambda e: str(e.query.client.port),
    "{local}": lambda e: _bracketed(e.query.bound),
    "{>id}": lambda e: str(e.query.message.id),
    "{>opcode}": lambda e: str(e.query.message.opcode),
    "{>do}": lambda e: "true" if e.asked.do else "false",
    "{>bufsize}": lambda e: str(e.asked.size),
    "{rcode}": lambda e: _rcode(e.reply),
    "{rsize}": lambda e: str(e.reply_size),
    "{duration}": lambda e: f"{e.seconds:.9f}s",
    "{>rflags}": lambda e: "-" if e.reply.dropped else _flags(e.reply.flags),
}

EACH = {
    LABELS[place]: f"{{{number}}}"
    for number, place in enumerate(("{remote}", "{port}", "{>id}", "{name}"))
}
"""What each client's query has of its own when a reply is repeated."""


def _rcode(reply: Reply) -> str:
    """A query that gets no reply has a dash for it."""
    return "-" if reply.dropped else codes.RCODE_NAMES.get(reply.rcode, str(reply.rcode))


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def compiled(template: str) -> Line:
    """The literals as a format, and what fills its places."""
    form, shows, end = "", list[Show](), 0
    for found in _PLACE.finditer(template):
        show = LABELS.get(found[0])
        if found[0].startswith("{/"):
            show = _fact(found[0][2:-1])
        if show is not None:
            form += _literal(template[end : found.start()]) + "%s"
            shows.append(show)
            end = found.end()
    return Line(form + _literal(template[end:]), tuple(shows))


def _literal(text: str) -> str:
    return text.replace("%", "%%")


def _braced(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _fact(label: str) -> Show:
    def show(event: Event) -> str:
        facts = event.query.metadata or {}
        return facts[label]() if label in facts else "-"

    return show


@dataclass(slots=True)
class Rule:
    zone: str
    line: Line
    classes: frozenset[str] = frozenset(("all",))


class Log(Plugin):
    static = True
    keeps_ttls = True

    def __init__(self, world: World) -> None:
        self.world = world
        self.rules: list[Rule] = []

    def alike(self, end: str) -> bool:
        for rule in self.rules:
            if names.is_below(end, rule.zone):
                return True
            if names.is_below(rule.zone, end):
                return False
        return True

    async def answer(self, query: Query, following: Handler) -> Reply:
        for rule in self.rules:
            if names.is_below(query.name, rule.zone):
                return await self._logged(rule, query, following)
        return await following(query)

    async def _logged(self, rule: Rule, query: Query, following: Handler) -> Reply:
        began = self.world.clock.monotonic()
        reply = await following(query)
        seconds = self.world.clock.monotonic() - began
        kind = OTHER if reply.dropped else kind_of(query, reply)
        if query.metadata is not None:
            query.metadata["log/type"] = lambda: kind
            query.metadata["log/class"] = lambda: CLASSES[kind]
        if "all" in rule.classes or CLASSES[kind] in rule.classes:
            event = event_of(query, reply, seconds)
            self.world.log.query(rule.line.text(event))
            if reply.validity is not None:
                return reply.heard(self._again(rule.line, event))
        return reply

    def _again(self, line: Line, event: Event) -> Hear:
        """The line for the same question from another client, or for one of the same length."""
        write, say = self.world.log.query, None  # most replies are given once, and told of there

        def tell(address: str, port: int, ident: int, name: str) -> None:
            nonlocal say
            if say is None:
                say = line.repeated(event._replace(seconds=0.0))
            write(say(address, port, ident, name))

        return tell


def event_of(query: Query, reply: Reply, seconds: float) -> Event:
    """A reply that nobody made shows the flags that it will have, and one that will be cut that."""
    asked = reply.asked or query
    if reply.dropped:
        return Event(query, asked, reply, question_size(asked, reply), 0, seconds)
    if not reply.made:
        reply = reply._replace(flags=reply_flags(query.message))
    size = reply_size(query, reply)
    if query.client.proto == "udp" and size + MOST_EDNS > asked.size and not reply.stream:
        reply = reply._replace(flags=reply.flags | finish(query, reply)[2] << 8 & codes.TC)
    return Event(query, asked, reply, question_size(asked, reply), size, seconds)


def setup(args: Args) -> Plugin:
    log = Log(args.world)
    for words in args.places():
        template = COMMON
        if len(words) > 1 and "{" in words[-1]:
            template = words.pop().replace("{common}", COMMON).replace("{combined}", COMBINED)
        rules = [Rule(names.fqdn(word).lower(), compiled(template)) for word in words or ["."]]
        classes: set[str] = set()
        for field in args.properties():
            if field != "class":
                raise args.unknown()
            for word in args.some():
                if word not in ("all", "success", "denial", "error"):
                    raise CorefileError(f"invalid Class: {word}")
                classes.add(word)
        for rule in rules:
            rule.classes = frozenset(classes or ("all",))
        log.rules += rules
    return log
