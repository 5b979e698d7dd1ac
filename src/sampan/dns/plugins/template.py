"""*template* makes answers from the question by patterns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sampan.dns import codes, gotemplate, names
from sampan.dns.arguments import Fall, go_uint
from sampan.dns.expression import BadExpression, Evaluate, Node, compiled, is_reserved
from sampan.dns.expression_functions import ASKED, environment
from sampan.dns.gotemplate_query import message_of, question_of
from sampan.dns.gotemplate_text import Thing
from sampan.dns.message import Edns, Record, read_names
from sampan.dns.plugin import Handler, Plugin, Query, Reply, Validity, failure, reply_to
from sampan.dns.setup import Args, World
from sampan.dns.zonefile import BadZone, record
from sampan.std import goregexp
from sampan.std.metrics import Value

MAX_PATTERN = 10000
EXTENDED_ERROR = 15
ASKS_CLIENT = re.compile(r"\.(Remote|Message|Meta)\b")
NAME = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")
Fill = Callable[[Mapping[str, Any]], str]
Data = dict[str, Any]


@dataclass(slots=True)
class Pattern:
    """One `template` line with its block."""

    cls: int
    type: int
    zones: tuple[str, ...]
    regexes: list[tuple[str, re.Pattern[str]]] = field(default_factory=list)
    """Each as it was written, and as Python has it."""
    sections: dict[str, list[Fill]] = field(
        default_factory=lambda: {"answer": [], "additional": [], "authority": []}
    )
    variables: list[tuple[str, Evaluate]] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=lambda: {**ASKED, "group": "string"})
    """The names that an expression may use, with their types."""
    conditions: list[Evaluate] = field(default_factory=list)
    rcode: int = codes.NOERROR
    extended: tuple[int, bytes] | None = None
    fall: Fall = field(default_factory=Fall)
    pure: bool = True
    """What it makes depends on the question alone."""


class Failed(Exception):
    """An expression of the pattern could not be evaluated."""


class Template(Plugin):
    def __init__(self, world: World) -> None:
        self.world = world
        self.patterns: list[Pattern] = []
        self.static = True

    def alike(self, end: str) -> bool:
        zones = [zone for pattern in self.patterns for zone in pattern.zones]
        return not any(names.is_below(z, end) or names.is_below(end, z) for z in zones)

    async def answer(self, query: Query, following: Handler) -> Reply:
        for pattern in self.patterns:
            try:
                found = data_for(pattern, query)
            except Failed:
                return failure(codes.SERVFAIL)
            if found is None:
                continue
            if not found:
                return failure(codes.SERVFAIL)
            labels = (query.server.name, found["Zone"], query.view, found["Class"], found["Type"])
            matches = self.world.counters.template_matches.labels(*labels)
            matches.inc()
            if pattern.rcode == codes.SERVFAIL:
                return failure(codes.SERVFAIL)
            reply = await self._made(pattern, query, found)
            return reply if reply.validity is None else reply._replace(counts=(_more(matches),))
        return await following(query)

    async def _made(self, pattern: Pattern, query: Query, data: Data) -> Reply:
        try:
            sections = {
                name: [record(fill(data)) for fill in fills]
                for name, fills in pattern.sections.items()
            }
        except (BadZone, gotemplate.BadTemplate) as bad:
            return failure(codes.SERVFAIL, str(bad))
        answer: list[Record] = []
        flags, validity = reply_to(query).flags, Validity() if pattern.pure else None
        for one in sections["answer"]:
            answer.append(one)
            if one.type == codes.CNAME and query.type in (codes.A, codes.AAAA):
                target = query.asking(read_names(one)[0])._replace(depth=query.depth + 1)
                reply = await query.server.resolve(target)
                answer += reply.answer
                flags |= reply.flags & codes.TC
                validity = None
        edns = None
        if pattern.extended is not None:
            code, reason = pattern.extended
            edns = Edns(4096, codes.DO, 0, ((EXTENDED_ERROR, code.to_bytes(2) + reason),))
        return Reply(
            pattern.rcode, tuple(answer), tuple(sections["authority"]),
            tuple(sections["additional"]), flags, edns, validity=validity,
        )  # fmt: skip


def _more(matches: Value) -> Callable[[int, float], None]:
    """Counts the replies that were not made anew."""

    def count(number: int, seconds: float) -> None:
        matches.value += number

    return count


def data_for(pattern: Pattern, query: Query) -> Data | None:
    """What the templates may ask; None to go on, empty for a query that nobody may have. Raises
    Failed.
    """
    zone = names.longest_zone(query.name, pattern.zones)
    if not zone or not _applies(pattern, query):
        return None
    for written, regex in pattern.regexes:
        match = regex.search(query.name)
        if match is None:
            continue
        data = _data(pattern, query, zone, match)
        data["Regex"] = written
        if not _true(pattern, query, data):
            break
        return data
    return None if pattern.fall.through(query.name) else {}


def _applies(pattern: Pattern, query: Query) -> bool:
    any_class = codes.CLASSES["ANY"]
    if any_class not in (pattern.cls, query.cls) and pattern.cls != query.cls:
        return False
    return codes.ANY in (pattern.type, query.type) or pattern.type == query.type


def _data(pattern: Pattern, query: Query, zone: str, match: re.Match[str]) -> Data:
    found = [match[0], *match.groups("")]
    groups = {str(number): text for number, text in enumerate(found)}
    groups |= match.groupdict("")
    any_class = codes.CLASSES["ANY"]
    cls = pattern.cls if query.cls == any_class else query.cls
    kind = pattern.type if query.type == codes.ANY else query.type
    facts = query.metadata or {}
    question = question_of(query)
    told = {
        "Zone": zone,
        "Name": query.name,
        "Match": found,
        "Group": groups,
        "Class": codes.class_name(cls),
        "Type": codes.type_name(kind),
        "Message": message_of(query, question),
        "Question": question,
        "Remote": query.client.address,
        "Meta": lambda label: facts[label]() if label in facts else "",
        "Var": {},
    }
    return Thing("*template.templateData", "", told)


def _true(pattern: Pattern, query: Query, data: Data) -> bool:
    if not pattern.variables and not pattern.conditions:
        return True
    known = environment(query)
    known["group"] = lambda name: data["Group"].get(str(name), "")
    try:
        for name, evaluate in pattern.variables:
            known[name] = data["Var"][name] = evaluate(known)
        return all(condition(known) is True for condition in pattern.conditions)
    except (LookupError, TypeError, ValueError, AttributeError) as bad:
        raise Failed(str(bad)) from bad


def setup(args: Args) -> Plugin:
    template = Template(args.world)
    while args.next():
        template.patterns.append(_pattern(args))
    # Conditions ask about the client; a pattern that does must see every query.
    template.static = not any(one.conditions or one.variables for one in template.patterns)
    return template


def _pattern(args: Args) -> Pattern:
    words = args.rest()
    if not words:
        raise args.error(f"invalid query class {args.taken()}")
    cls = codes.CLASSES.get(words[0])
    if cls is None:
        raise args.error(f"invalid query class {words[0]}")
    if len(words) < 2:
        raise args.wrong_count()
    kind = codes.TYPES.get(words[1])
    if kind is None:
        raise args.error(f"invalid RR class {words[1]}")
    pattern = Pattern(cls, kind, args.zones(words[2:]))
    for name in args.properties():
        _property(args, name, pattern)
    if not pattern.regexes:
        pattern.regexes.append((".*", re.compile(".*")))
    return pattern


def _property(args: Args, name: str, pattern: Pattern) -> None:
    if name == "fallthrough":
        pattern.fall = Fall.from_args(args.rest())
        return
    words = args.rest()
    if name == "upstream":
        return  # of old; targets are always looked up
    if not words:
        raise args.wrong_count()
    if name == "match":
        pattern.regexes += ((word, _regex(args, word)) for word in words)
    elif name in pattern.sections:
        pattern.sections[name] += (_fill(args, name, word) for word in words)
        pattern.pure &= not any(ASKS_CLIENT.search(word) for word in words)
    elif name == "rcode":
        pattern.rcode = _rcode(args, words[0])
    elif name == "ederror":
        pattern.extended = _extended(args, words)
    elif name == "expr":
        pattern.conditions.append(_expression(args, pattern, " ".join(words), "").run)
    elif name == "var":
        _variable(args, pattern, words)
    else:
        raise args.wrong_count()


def _regex(args: Args, text: str) -> re.Pattern[str]:
    if len(text) > MAX_PATTERN:
        raise args.error(f"regex pattern too long: {len(text)} > {MAX_PATTERN}")
    try:
        return goregexp.compiled(text)
    except goregexp.BadPattern as bad:
        raise args.error(f"could not parse regex: {text}, {bad}") from bad


def _fill(args: Args, section: str, text: str) -> Fill:
    try:
        return gotemplate.compiled(text, section)
    except gotemplate.BadTemplate as bad:
        why = f"template: {section}:{1 + text.count(chr(10))}: {bad}"
        raise args.error(f"could not compile template: {args.word}, {why}") from bad


def _rcode(args: Args, word: str) -> int:
    if word not in codes.RCODES:
        raise args.error(f"unknown rcode {word}")
    return codes.RCODES[word]


def _extended(args: Args, words: list[str]) -> tuple[int, bytes]:
    if len(words) > 2:
        raise args.wrong_count()
    try:
        return go_uint(words[0], 16), words[1].encode() if len(words) > 1 else b""
    except ValueError as bad:
        raise args.error(f"error parsing extended DNS error code {args.word}, {bad}") from bad


def _variable(args: Args, pattern: Pattern, words: list[str]) -> None:
    if len(words) < 2:
        raise args.wrong_count()
    name = words[0]
    if not NAME.match(name):
        raise args.error(f'invalid variable name "{name}"')
    if is_reserved(name, pattern.known):
        raise args.error(f'variable name "{name}" is reserved')
    found = _expression(args, pattern, " ".join(words[1:]), f"{name}, ")
    pattern.variables.append((name, found.run))
    pattern.known[name] = found.type


def _expression(args: Args, pattern: Pattern, text: str, name: str) -> Node:
    try:
        return compiled(text, pattern.known)
    except BadExpression as bad:
        raise args.error(f"could not compile expression: {name}{bad}") from bad
