"""*timeouts* bounds how long a TCP, TLS or HTTPS client may take."""

from __future__ import annotations

from sampan.dns.arguments import BadDuration, duration, go_int, shown
from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Plugin
from sampan.dns.setup import Args

DAY_S = 86400


def setup(args: Args) -> Plugin | None:
    for words in args.places():
        if words:
            raise CorefileError(f"plugin/timeouts: {args.wrong_count()}")
        seen = 0
        for name in args.properties():
            _take(args, name, args.one())
            seen += 1
        if not seen:
            missing = args.error("timeouts block with no timeouts specified")
            raise CorefileError(f"plugin/timeouts: {missing}")
    return None


def _take(args: Args, name: str, word: str) -> None:
    block = args.block
    if name == "maxtcpqueries":
        block.max_tcp_queries = _queries(args, word)
        return
    try:
        seconds = duration(f"{word}s" if word.isdigit() else word)
    except BadDuration:
        raise args.error(f"failed to parse duration '{word}'") from None
    if not 1 <= seconds <= DAY_S:
        raise args.error(
            f"timeout provided '{shown(seconds)}' needs to be between 1 second and 24 hours"
        )
    if name == "read":
        block.read_timeout_s = seconds
    elif name == "write":
        block.write_timeout_s = seconds
    elif name == "idle":
        block.idle_timeout_s = seconds
    else:
        raise args.error(f"unknown option: '{name}'")


def _queries(args: Args, word: str) -> int:
    try:
        number = go_int(word)
    except ValueError as bad:
        raise args.error(f"invalid value for maxtcpqueries '{word}': {bad}") from bad
    if number == 0 or number < -1:
        raise args.error(
            f"maxtcpqueries provided '{number}' needs to be -1 (unlimited) or a positive integer"
        )
    return number
