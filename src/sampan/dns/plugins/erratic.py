"""*erratic* drops, delays and truncates, to see how clients bear it."""

from __future__ import annotations

from dataclasses import dataclass

from sampan.dns import codes
from sampan.dns.arguments import BadDuration, duration
from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import DROP, Handler, Plugin, Query, Reply, failure, reply_to
from sampan.dns.rdata import a_record, name_record, soa_record
from sampan.dns.setup import Args, World

ADDRESSES = {codes.A: "192.0.2.53", codes.AAAA: "2001:db8::53"}
LARGE = 30
TIMES = (2018050825, 7200, 3600, 1209600, 3600)
SERVERS = {"a": "2001:bd8::53", "b": "2001:500::54"}
"""Of the zone that it hands out."""


@dataclass(slots=True)
class Options:
    """Every so many-th query; 0 = never."""

    drop: int = 2
    delay: int = 0
    delay_s: float = 0.1
    truncate: int = 0
    large: bool = False


class Erratic(Plugin):
    def __init__(self, world: World, options: Options) -> None:
        self.world = world
        self.options = options
        self.number = 0

    async def answer(self, query: Query, following: Handler) -> Reply:
        options, number = self.options, self.number
        self.number += 1
        if options.drop and number % options.drop == 0:
            return DROP
        if options.delay and number % options.delay == 0:
            await self.world.clock.sleep(options.delay_s)
        # Upstream's arithmetic: the bits of the two numbers have nothing in common.
        truncated = bool(options.truncate) and number & options.truncate == 0
        if query.type == codes.AXFR:
            return _transfer(query, truncated)
        if query.type not in ADDRESSES:
            return failure(codes.SERVFAIL)
        reply = reply_to(query)
        record = a_record(query.qname, 0, ADDRESSES[query.type])
        many = LARGE if options.large and query.type == codes.A else 1
        flags = reply.flags | (codes.TC if truncated else 0)
        return reply._replace(answer=(record,) * many, flags=flags)


def _transfer(query: Query, truncated: bool) -> Reply:
    """A zone of its own making; cut, it lacks its end."""
    zone = query.qname
    soa = soa_record(zone, 0, "sns.dns.icann.org.", "noc.dns.icann.org.", TIMES)
    names = [name_record(zone, codes.NS, 0, f"{host}.{zone}") for host in SERVERS]
    addresses = [a_record(f"{host}.{zone}", 0, address) for host, address in SERVERS.items()]
    end = [] if truncated else [soa]
    return reply_to(query)._replace(stream=((soa, *names, *addresses, *end),))


def setup(args: Args) -> Plugin:
    options, dropping = Options(), False
    for _ in args.places():
        for name in args.properties():
            if name == "large":
                options.large = True
            elif name in ("drop", "delay", "truncate"):
                dropping |= _take(args, name, options)
            else:
                raise args.unknown()
    if (options.delay or options.truncate) and not dropping:
        options.drop = 0
    return Erratic(args.world, options)


def _take(args: Args, name: str, options: Options) -> bool:
    """Whether dropping was asked for with a number."""
    words = args.rest()
    if len(words) > (2 if name == "delay" else 1):
        raise args.wrong_count()
    amount = _amount(words[0]) if words else 2
    setattr(options, name, amount)
    if len(words) > 1:
        try:
            options.delay_s = duration(words[1])
        except BadDuration as bad:
            raise CorefileError(str(bad)) from bad
    return name == "drop" and bool(words)


def _amount(word: str) -> int:
    if not word.lstrip("-").isdigit():
        raise CorefileError(f'strconv.ParseInt: parsing "{word}": invalid syntax')
    if int(word) >= 1 << 31:
        raise CorefileError(f'strconv.ParseInt: parsing "{word}": value out of range')
    if int(word) < 0:
        raise CorefileError(f'illegal amount value given "{word}"')
    return int(word)
