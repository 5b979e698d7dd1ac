"""*debug* lets debug lines into the log and errors through with their traces."""

from __future__ import annotations

from sampan.dns.plugin import Plugin
from sampan.dns.setup import Args


def setup(args: Args) -> Plugin | None:
    while args.next():
        args.nothing()
    args.block.debug = True
    args.world.log.debugging = True
    return None
