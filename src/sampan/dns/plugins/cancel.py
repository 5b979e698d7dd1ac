"""*cancel* gives a query only so much time."""

from __future__ import annotations

import asyncio

from sampan.dns import codes
from sampan.dns.arguments import BadDuration, duration
from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Handler, Plugin, Query, Reply, failure, in_task
from sampan.dns.setup import Args

DEFAULT_S = 5.001


class Cancel(Plugin):
    static = True
    keeps_ttls = True
    nameless = True

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s

    async def answer(self, query: Query, following: Handler) -> Reply:
        await in_task()
        try:
            async with asyncio.timeout(self.timeout_s):
                return await following(query)
        except TimeoutError:
            return failure(codes.SERVFAIL, "context deadline exceeded")


def setup(args: Args) -> Plugin:
    timeout_s = DEFAULT_S
    for words in args.places():
        if len(words) > 1:
            raise args.wrong_count()
        if words:
            timeout_s = _seconds(words[0])
    return Cancel(timeout_s)


def _seconds(word: str) -> float:
    try:
        seconds = duration(word)
    except BadDuration:
        raise CorefileError(f'invalid duration: "{word}"') from None
    if seconds <= 0:
        raise CorefileError(f'invalid negative duration: "{word}"')
    return seconds
