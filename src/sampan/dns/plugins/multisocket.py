"""*multisocket* answers in several processes, each with a socket of its own."""

from __future__ import annotations

import os

from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Plugin
from sampan.dns.setup import Args

MAX_SOCKETS = 1024


def setup(args: Args) -> Plugin | None:
    args.next()
    words = args.rest()
    if len(words) > 1 or args.next():
        raise args.wrong_count()
    if not words:
        args.block.sockets = len(os.sched_getaffinity(0))
        return None
    try:
        number = int(words[0])
    except ValueError:
        raise CorefileError(
            f'invalid num sockets: strconv.Atoi: parsing "{words[0]}": invalid syntax'
        ) from None
    if number < 1:
        raise CorefileError(f"num sockets can not be zero or negative: {number}")
    if number > MAX_SOCKETS:
        raise CorefileError(f"num sockets exceeds maximum ({MAX_SOCKETS}): {number}")
    args.block.sockets = number
    return None
