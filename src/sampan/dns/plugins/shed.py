"""*shed* drops queries early when more are waiting than can be answered in time."""

from __future__ import annotations

from sampan.dns.arguments import ONCE
from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Plugin
from sampan.dns.setup import Args

DEPTH = 1024
"""How many datagrams may wait for the chain: some 15 ms of work, a burst and no backlog."""


def setup(args: Args) -> Plugin | None:
    for number, words in enumerate(args.places()):
        if number:
            raise CorefileError(ONCE)
        if words:
            raise args.wrong_count()
        if args.in_block():
            raise args.error("shed takes no options")
    if args.block.transport != "dns":
        raise args.error(
            "only plain DNS server blocks are supported; "
            f'"{args.block.keys[0]}" uses transport "{args.block.transport}"'
        )
    args.block.shed = DEPTH
    return None
