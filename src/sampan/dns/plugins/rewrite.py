"""*rewrite* changes a query before it is answered, and the reply so that nobody sees it."""

from __future__ import annotations

from sampan.dns import codes, names
from sampan.dns.finish import answer_edns
from sampan.dns.plugin import Handler, Plugin, Query, Reply, failure, reply_to
from sampan.dns.rewriting import Rule, rule
from sampan.dns.rewritten import Undo
from sampan.dns.setup import Args


class Rewrite(Plugin):
    """The rules in their order; one that stops ends the list."""

    def __init__(self, rules: list[Rule]) -> None:
        self.rules = rules
        self.static = all(rule.pure for rule in rules)

    def alike(self, end: str) -> bool:
        return all(one.only and not names.is_below(one.only, end) for one in self.rules)

    async def answer(self, query: Query, following: Handler) -> Reply:
        asked, undo, stopped = query, list[Undo](), False
        for one in self.rules:
            found = one.rewrite(asked)
            if found is None:
                continue
            asked = found.query
            if not found.done:
                continue
            try:
                names.wire(asked.name)
            except names.BadName:
                return failure(codes.SERVFAIL, f"invalid name after rewrite: {asked.qname}")
            undo += found.undo
            if one.stops:
                stopped = True
                break
        reply = await following(asked)
        if asked is not query:
            reply = reply._replace(asked=asked)
        if stopped or undo:
            reply = _written(asked, reply)
        return await _undone(query, asked, reply, undo) if undo else reply


def _written(asked: Query, reply: Reply) -> Reply:
    """A message in any case: the server's own would have escaped the rules."""
    if reply.made or reply.dropped:
        return reply
    written = reply_to(asked, aa=False, rcode=reply.rcode)
    edns = answer_edns(asked.edns, reply)
    return written._replace(error=reply.error, plugin=reply.plugin, edns=edns, asked=reply.asked)


async def _undone(query: Query, asked: Query, reply: Reply, undo: list[Undo]) -> Reply:
    """What was done last is undone first."""
    if reply.dropped:
        return reply
    for step in reversed(undo):
        if step.reply is not None:
            reply = await step.reply(query, reply)
    sections = [reply.answer, reply.authority, reply.additional]
    for number, section in enumerate(sections):
        for step in reversed(undo):
            if step.record is not None:
                section = tuple(map(step.record, section))
        sections[number] = section
    edns = reply.edns
    for step in reversed(undo):
        if step.options is not None and query.edns is not None:
            edns = step.options(edns or answer_edns(asked.edns, reply) or query.edns)
    return reply._replace(
        answer=sections[0], authority=sections[1], additional=sections[2], edns=edns
    )


def setup(args: Args) -> Plugin:
    rules = []
    while args.next():
        words = args.rest()
        if len(words) < 2:
            # A rule may be written between braces, on several lines.
            while args.in_block():
                words.append(args.word)
        rules.append(rule(words))
    return Rewrite(rules)
