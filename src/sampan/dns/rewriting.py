"""The rules of *rewrite*: what each does to a query, and undoes in the reply.

`rules` reads a line of the Corefile; the plugin applies them in order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sampan.dns import codes, names, rewriting_edns
from sampan.dns.corefile import CorefileError
from sampan.dns.message import Record, naptr_name_at, read_names, with_names
from sampan.dns.plugin import Query, Reply
from sampan.dns.rewritten import Rewrite, Rewritten, Undo
from sampan.std import goregexp

MAX_PATTERN = 10000
KINDS = ("exact", "prefix", "suffix", "substring", "regex")
POINTING = frozenset(
    (codes.NS, codes.CNAME, codes.SOA, codes.PTR, codes.MX, codes.SRV, codes.DNAME)
)
"""Records whose first name is their value."""
Text = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Rule:
    """`rewrite` gives None where the rule does not apply."""

    rewrite: Rewrite
    stops: bool
    pure: bool = True
    """What it does depends on the question alone."""
    only: str = ""
    """The one name that it applies to, where it is one."""


def rule(words: Sequence[str]) -> Rule:
    """A rule from its words. Raises CorefileError."""
    if not words:
        raise CorefileError("no rule type specified for rewrite")
    mode = words[0].lower() if words[0].lower() in ("stop", "continue") else ""
    rest = list(words[1:]) if mode else list(words)
    if not rest:
        raise CorefileError(f"{mode} rule must begin with a rule type")
    kind, arguments = rest[0].lower(), rest[1:]
    if kind == "answer":
        raise CorefileError("response rewrites must begin with a name rule")
    maker = _MAKERS.get(kind)
    if maker is None:
        raise CorefileError(f'invalid rule type "{words[0]}"')
    rewrite = maker(list(arguments))
    only = _only(kind, arguments)
    return Rule(rewrite, mode != "continue", _is_pure(kind, arguments), only)


def _only(kind: str, words: Sequence[str]) -> str:
    if kind != "name":
        return ""
    if len(words) == 2:
        return _normal(words[0])
    return _normal(words[1]) if words[0].lower() == "exact" else ""


def _is_pure(kind: str, words: Sequence[str]) -> bool:
    if kind != "edns0":
        return True
    asked = any(word.startswith("{") and word not in ("{qname}", "{qtype}") for word in words)
    return not asked and words[0].lower() != "subnet"


# Names


def regex(text: str, replacement: str = "") -> re.Pattern[str]:
    """A pattern with enough groups for its replacement. Raises CorefileError."""
    if len(text) > MAX_PATTERN:
        raise CorefileError(f"regex pattern too long: {len(text)} > {MAX_PATTERN}")
    try:
        pattern = goregexp.compiled(text)
    except goregexp.BadPattern:
        raise CorefileError(f"invalid regex matching pattern: {text}") from None
    used = len({found for found in re.findall(r"\{(\d+)\}", replacement) if int(found) <= 100})
    if used > pattern.groups:
        raise CorefileError(
            f"the rewrite regex pattern ({replacement}) uses more subexpressions than its "
            f"corresponding matching regex pattern ({text})"
        )
    return pattern


def filled(match: re.Match[str], replacement: str) -> str:
    """`{1}` and its like replaced by what matched."""
    for number, group in enumerate((match[0], *match.groups(""))):
        replacement = replacement.replace(f"{{{number}}}", group)
    return replacement


def matcher(kind: str, text: str, replacement: str = "") -> Callable[[str], str | None]:
    """From a name to what it becomes; None where it does not match."""
    if kind == "exact":
        return lambda name: replacement if name == text else None
    if kind == "prefix":
        return lambda name: replacement + name[len(text) :] if name.startswith(text) else None
    if kind == "suffix":
        return lambda n: n[: len(n) - len(text)] + replacement if n.endswith(text) else None
    if kind == "substring":
        return lambda name: name.replace(text, replacement) if text in name else None
    pattern = regex(text, replacement)

    def match(name: str) -> str | None:
        found = pattern.search(name)
        return filled(found, replacement) if found else None

    return match


def _name_rule(words: list[str]) -> Rewrite:
    if len(words) < 2:
        raise CorefileError("too few arguments for a name rule")
    kind = "exact" if len(words) == 2 else words.pop(0).lower()
    if kind not in KINDS:
        raise CorefileError(
            "name rule supports only exact, prefix, suffix, substring, and regex name matching, "
            f"received: {kind}"
        )
    source, target, *answer = words
    auto, static = _answer_rules(kind, answer) if answer else (kind == "exact", ())
    if kind != "regex":
        source = _normal(source)
    target = _normal(target)
    change = matcher(kind, source, target)
    if kind == "suffix" and auto:
        back = _suffix(target, source)
        static, auto = (*_both(back), *static), False
    auto = auto or kind == "exact"

    def rewrite(query: Query) -> Rewritten | None:
        new = change(query.name)
        if new is None:
            return None
        undo = (*_both(_remap(names.fqdn(new), query.name)), *static) if auto else static
        return Rewritten(query.asking(names.fqdn(new)), undo)

    return rewrite


def _normal(name: str) -> str:
    """Whole names only, as upstream has it: a prefix `pre-` is the name `pre-.` and meets none."""
    return names.fqdn(name).lower()


def _suffix(suffix: str, replacement: str) -> Text:
    def change(text: str) -> str:
        if text.endswith(suffix):
            return text[: len(text) - len(suffix)] + replacement
        return text

    return change


def _remap(source: str, target: str) -> Text:
    """A name and those below it to another; in this spelling only, as upstream has it."""

    def change(text: str) -> str:
        if text == source:
            return target
        if text.endswith("." + source):
            return text[: len(text) - len(source)] + target
        return text

    return change


def _pattern(pattern: re.Pattern[str], replacement: str) -> Text:
    def change(text: str) -> str:
        found = pattern.search(text)
        return names.fqdn(filled(found, replacement)) if found else text

    return change


def _both(change: Text) -> tuple[Undo, ...]:
    return _of_owner(change), _of_value(change)


def _of_owner(change: Text) -> Undo:
    return Undo(lambda record: record._replace(name=change(record.name)))


def _of_value(change: Text) -> Undo:
    def value(record: Record) -> Record:
        if record.type == codes.NAPTR and record.rdata:
            return _replacement(record, change)
        inside = read_names(record) if record.type in POINTING else []
        if not inside:
            return record
        new = [change(inside[0]), *inside[1:]]
        return record if new == inside else with_names(record, new)

    return Undo(value)


def _replacement(record: Record, change: Text) -> Record:
    """A NAPTR record with another name."""
    data, at = record.rdata, naptr_name_at(record.rdata)
    return record._replace(rdata=data[:at] + names.wire(change(names.read(data, at)[0])))


def _answer_rules(kind: str, words: list[str]) -> tuple[bool, tuple[Undo, ...]]:
    if len(words) < 2:
        raise CorefileError(f"invalid arguments for {kind} rule")
    auto, rules, named, rest = False, list[Undo](), False, list(words)
    if rest[0] != "answer":
        raise CorefileError(
            f"exceeded the number of arguments for a non-answer rule argument for {kind} rule"
        )
    while rest:
        if rest[0] == "answer":
            rest.pop(0)
        if not rest:
            raise CorefileError(f"type missing for answer rule for {kind} rule")
        what = rest.pop(0)
        if what == "auto":
            auto = True
            continue
        if what not in ("name", "value"):
            raise CorefileError(f'invalid type "{what}" for answer rule for {kind} rule')
        if len(rest) < 2:
            raise CorefileError(f"{what} answer rule for {kind} rule: 2 arguments required")
        source, target = rest.pop(0), rest.pop(0)
        change = _pattern(regex(source, target), target.lower())
        rules.append(_of_owner(change) if what == "name" else _of_value(change))
        named |= what == "name"
    if auto and named:
        raise CorefileError(
            "auto name answer rule cannot be combined with explicit name anwer rules"
        )
    return auto, tuple(rules)


# Type, class, TTL, response code


def _pair(words: list[str], kind: str) -> tuple[str, str]:
    if len(words) != 2:
        raise CorefileError(f"{kind} rules must have exactly two arguments")
    return words[0].upper(), words[1].upper()


def _type_rule(words: list[str]) -> Rewrite:
    source, target = (_known(w, codes.TYPES, "type") for w in _pair(words, "type"))

    def rewrite(query: Query) -> Rewritten | None:
        return Rewritten(query.asking(query.qname, target)) if query.type == source else None

    return rewrite


def _class_rule(words: list[str]) -> Rewrite:
    source, target = (_known(w, codes.CLASSES, "class") for w in _pair(words, "class"))

    def rewrite(query: Query) -> Rewritten | None:
        if query.cls != source or query.message.question is None:
            return None
        question = query.message.question._replace(cls=target)
        message = query.message._replace(question=question)
        return Rewritten(query._replace(message=message, cls=target))

    return rewrite


def _known(word: str, table: dict[str, int], what: str) -> int:
    if word not in table:
        raise CorefileError(f'invalid {what} "{word}"')
    return table[word]


def _name_test(words: list[str], what: str) -> Callable[[str], bool]:
    """Whether a name is meant: `[exact|prefix|...] NAME`."""
    kind = "exact" if len(words) == 1 else words[0].lower()
    if kind not in KINDS:
        raise CorefileError(
            f"{what} rule supports only exact, prefix, suffix, substring, and regex name matching"
        )
    text = words[-1] if kind == "regex" else _normal(words[-1])
    try:
        test = matcher(kind, text)
    except CorefileError as bad:
        if "too long" in str(bad):
            _, _, sizes = str(bad).partition(": ")
            raise CorefileError(f"regex pattern too long in a {what} rule: {sizes}") from bad
        raise CorefileError(f"invalid regex pattern in a {what} rule: {text}") from bad
    return lambda name: test(name) is not None


def _ttl_rule(words: list[str]) -> Rewrite:
    if len(words) < 2:
        raise CorefileError(f"too few ({len(words)}) arguments for a ttl rule")
    low, high = _ttl_range(words[-1] if len(words) <= 3 else "")
    meant = _name_test(words[:-1], "ttl")
    undo = Undo(lambda record: record._replace(ttl=min(max(record.ttl, low), high)))
    return lambda query: Rewritten(query, (undo,)) if meant(query.name) else None


def _ttl_range(word: str) -> tuple[int, int]:
    bad = CorefileError(f"invalid TTL '{word}' for a ttl rule")
    low, dash, high = word.partition("-")
    if not dash:
        high = low
    if word == "-" or not (low + high).isdigit() or "-" in high:
        raise bad
    least, most = int(low or 0), int(high or 2147483647)
    if least > most or most > 0xFFFFFFFF:
        raise bad
    return least, most


def _rcode_rule(words: list[str]) -> Rewrite:
    if len(words) < 3:
        raise CorefileError(f"too few ({len(words)}) arguments for a rcode rule")
    told = words[-2:] if len(words) <= 4 else ["", ""]
    old, new = _rcode(told[0], "matching"), _rcode(told[1], "replacement")
    meant = _name_test(words[:-2], "rcode")

    async def change(query: Query, reply: Reply) -> Reply:
        return reply._replace(rcode=new) if reply.rcode == old else reply

    return lambda query: Rewritten(query, (Undo(reply=change),)) if meant(query.name) else None


def _rcode(word: str, what: str) -> int:
    if word.isdigit() and int(word) <= 23:
        return int(word)
    if word.upper() in codes.RCODES:
        return codes.RCODES[word.upper()]
    raise CorefileError(f"invalid {what} RCODE '{word}' for a rcode rule")


# Aliases


def _cname_rule(words: list[str]) -> Rewrite:
    if not 2 <= len(words) <= 3:
        raise CorefileError(f"too few ({len(words)}) arguments for a cname rule")
    kind = words[0].lower() if len(words) == 3 else "exact"
    if kind not in KINDS:
        raise CorefileError(f"unknown cname rewrite type: {kind}")
    source, target = words[-2].lower(), words[-1].lower()
    if kind == "exact":
        source, target = names.fqdn(source), names.fqdn(target)
    try:
        change = matcher(kind, source, target)
    except CorefileError:
        try:
            goregexp.compiled(source)
        except goregexp.BadPattern as bad:
            raise CorefileError(f"invalid cname rewrite regex pattern: {bad}") from bad
        raise

    async def follow(query: Query, reply: Reply) -> Reply:
        kept: list[Record] = []
        for record in reply.answer:
            new = change(read_names(record)[0]) if record.type == codes.CNAME else None
            if new is None:
                kept.append(record)
                continue
            kept.append(with_names(record, [names.fqdn(new)]))
            asked = (reply.asked or query).asking(names.fqdn(new))
            found = await query.server.resolve(asked._replace(depth=query.depth + 1))
            flags = reply.flags & ~codes.TC | found.flags & codes.TC
            aliases = [one for one in kept if one.type == codes.CNAME]
            answer = (*aliases, *found.answer)
            return reply._replace(answer=answer, flags=flags, validity=None, asked=asked)
        return reply

    return lambda query: Rewritten(query, (Undo(reply=follow),))


_MAKERS: dict[str, Callable[[list[str]], Rewrite]] = {
    "name": _name_rule,
    "type": _type_rule,
    "class": _class_rule,
    "ttl": _ttl_rule,
    "rcode": _rcode_rule,
    "cname": _cname_rule,
    "edns0": rewriting_edns.rule,
}
