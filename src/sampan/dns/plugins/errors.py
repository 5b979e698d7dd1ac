"""*errors* logs what went wrong while a query was answered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

from sampan.dns import codes
from sampan.dns.arguments import ONCE, BadDuration, duration, shown
from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Handler, Plugin, Query, Reply
from sampan.dns.setup import Args, Log
from sampan.std import goregexp

Say = Callable[[str], None]
MAX_PATTERN = 10000


@dataclass(slots=True)
class Pattern:
    """Errors that are told once per period, with their number."""

    period_s: float
    written: str
    regex: re.Pattern[str]
    say: Say
    show_first: bool
    count: int = 0
    timer: asyncio.TimerHandle | None = None

    def take(self) -> bool:
        """Count one; True when it need not be told on its own."""
        self.count += 1
        if self.count == 1:
            self.timer = asyncio.get_running_loop().call_later(self.period_s, self.tell)
            return not self.show_first
        return True

    def tell(self) -> None:
        count, self.count = self.count, 0
        if count > 1 or (count and not self.show_first):
            period = shown(self.period_s)
            self.say(
                f"plugin/errors: {count} errors like '{self.written}' occurred in last {period}"
            )

    def stop(self) -> None:
        if self.timer is not None and self.count:
            self.timer.cancel()
            self.tell()


class Errors(Plugin):
    static = True
    keeps_ttls = True
    nameless = True

    def __init__(self, log: Log) -> None:
        self.log = log
        self.patterns: list[Pattern] = []

    async def answer(self, query: Query, following: Handler) -> Reply:
        reply = await following(query)
        if reply.error:
            self._tell(query, reply)
        return reply

    def _tell(self, query: Query, reply: Reply) -> None:
        say: Say = self.log.error
        for pattern in self.patterns:
            if pattern.regex.search(reply.error):
                if pattern.take():
                    return
                say = pattern.say
                break
        asked = reply.asked or query
        # Who wrote a message returns no code with the error.
        rcode = codes.NOERROR if reply.made else reply.rcode
        say(f"plugin/errors: {rcode} {asked.name} {codes.type_name(asked.type)}: {reply.error}")

    async def stop(self) -> None:
        for pattern in self.patterns:
            pattern.stop()


def setup(args: Args) -> Plugin:
    errors = Errors(args.world.log)
    for number, words in enumerate(args.places()):
        if number:
            raise CorefileError(ONCE)
        if len(words) > 1:
            raise args.wrong_count()
        if words and words[0] != "stdout":
            raise args.error(f"invalid log file: {words[0]}")
        for field in args.properties():
            if field == "stacktrace":
                args.block.stacktrace = True
            elif field == "consolidate":
                errors.patterns.append(_consolidate(args))
            else:
                raise CorefileError(
                    f"{args.file}:{args.line} - Syntax error: Unexpected token '{field}', "
                    f"expecting 'Unknown field {field}'"
                )
    return errors


def _consolidate(args: Args) -> Pattern:
    words = args.rest()
    if not 2 <= len(words) <= 4:
        raise args.wrong_count()
    try:
        period_s = duration(words[0])
        if len(words[1]) > MAX_PATTERN:
            raise args.error(f"regex pattern too long: {len(words[1])} > {MAX_PATTERN}")
        regex = goregexp.compiled(words[1])
    except (BadDuration, goregexp.BadPattern) as bad:
        raise args.error(str(bad)) from bad
    log = args.world.log
    levels: dict[str, Say] = {
        "warning": log.warning, "error": log.error, "info": log.info, "debug": log.debug
    }  # fmt: skip
    say, first = None, False
    for word in words[2:]:
        if word in levels and say is not None:
            raise args.error("multiple log levels specified in consolidate")
        if word in levels and first:
            raise args.error("log level must come before show_first in consolidate")
        if word in levels:
            say = levels[word]
        elif word == "show_first":
            first = True
        else:
            raise args.error(f"unknown option in consolidate: {word}")
    return Pattern(period_s, words[1], regex, say or log.error, first)
