"""*header* sets and clears flags of queries and replies."""

from __future__ import annotations

from sampan.dns import codes
from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Handler, Plugin, Query, Reply
from sampan.dns.setup import Args

FLAGS = {"aa": codes.AA, "ra": codes.RA, "rd": codes.RD}


class Header(Plugin):
    """Flags to set and to clear, for queries and for replies."""

    static = True
    keeps_ttls = True
    nameless = True

    def __init__(self) -> None:
        self.rules: dict[str, list[tuple[int, bool]]] = {"query": [], "response": []}

    async def answer(self, query: Query, following: Handler) -> Reply:
        flags = _changed(query.message.flags, self.rules["query"])
        reply = await following(query._replace(message=query.message._replace(flags=flags)))
        if not reply.made:
            return reply
        return reply._replace(flags=_changed(reply.flags, self.rules["response"]))


def _changed(flags: int, rules: list[tuple[int, bool]]) -> int:
    for bit, state in rules:
        flags = flags | bit if state else flags & ~bit
    return flags


def setup(args: Args) -> Plugin:
    header = Header()
    for _ in args.places():
        for word in args.properties():
            _read(args, header, word.lower())
    if not any(header.rules.values()):
        raise args.wrong_count()
    return header


def _read(args: Args, header: Header, selector: str) -> None:
    if selector not in header.rules:
        raise CorefileError(
            f"setting up rule: invalid selector={selector} should be query or response"
        )
    words = [word.lower() for word in args.rest()]
    if not words or not words[0]:
        raise CorefileError("setting up rule: no flag action provided")
    action, *flags = words
    if not flags:
        raise CorefileError(
            "setting up rule: invalid length for flags, at least one should be provided"
        )
    if action not in ("set", "clear"):
        raise CorefileError(
            f"setting up rule: unknown flag action={action}, should be set or clear"
        )
    for flag in flags:
        if flag not in FLAGS:
            raise CorefileError(f"setting up rule: unknown/unsupported flag={flag}")
        header.rules[selector].append((FLAGS[flag], action == "set"))
