"""*debug* lets debug lines into the log and errors through with their traces."""

from __future__ import annotations

from sampan.dns.plugin import Plugin
from sampan.dns.setup import Args


def setup(args: Args) -> Plugin | None:
    for words in args.places():
        if words:
            raise args.wrong_count()
    args.block.debug = True
    args.world.log.debugging = True
    return None
