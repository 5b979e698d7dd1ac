"""One upstream server: the ways to it, and whether it is well."""

from __future__ import annotations

import asyncio
import base64
import ssl
from dataclasses import dataclass
from random import Random

from sampan.client.http import HttpTransport
from sampan.client.transport import Request, Unreachable
from sampan.dns import codes
from sampan.dns.counters import Counters
from sampan.dns.message import BadMessage, Message, parse, query
from sampan.dns.plugin import in_task
from sampan.dns.render import render
from sampan.dns.upstream.datagrams import Failed, UdpPool
from sampan.dns.upstream.streams import StreamPool
from sampan.std.clock import Clock

PROBE_TIMEOUT_S = 1.0
PATH = "/dns-query"
MEDIA = "application/dns-message"


@dataclass(frozen=True, slots=True)
class Target:
    """Where an upstream is, and how it is spoken to: dns, tls or https."""

    transport: str
    host: str
    port: int
    server_name: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Manner:
    """How to ask: what `forward`'s properties say."""

    timeout_s: float = 2.0
    expire_s: float = 10.0
    max_age_s: float = 0.0
    tls: ssl.SSLContext | None = None
    source: str = ""
    get: bool = False
    """DNS over HTTPS by GET."""
    probe_domain: str = "."
    probe_recursion: bool = True
    probe_every_s: float = 0.5


class Upstream:
    """`ask` raises Failed. Probing begins with the first failure and ends with a success."""

    def __init__(
        self, target: Target, manner: Manner, clock: Clock, chance: Random, counters: Counters
    ) -> None:
        self.target = target
        self.manner = manner
        self.clock = clock
        self.chance = chance
        self.counters = counters
        self.fails = 0
        address = (target.host, target.port)
        self._udp = UdpPool(address, clock, chance, manner.source)
        self._udp.expire_s = manner.expire_s
        self._tcp = StreamPool(
            address, clock, chance, tls=manner.tls if target.transport == "tls" else None,
            server_name=target.server_name, source=manner.source,
        )  # fmt: skip
        self._tcp.expire_s = manner.expire_s
        self._tcp.max_age_s = manner.max_age_s
        self._http: HttpTransport | None = None
        self._probing: asyncio.Task[None] | None = None

    async def ask(self, message: Message, proto: str) -> Message:
        """The reply, with the ID of the question."""
        await in_task()
        began = self.clock.monotonic()
        if self.target.transport == "https":
            reply = await self._ask_https(message)
        else:
            reply = await self._ask_dns(message, proto)
        seconds = self.clock.monotonic() - began
        rcode = codes.RCODE_NAMES.get(reply.rcode, str(reply.rcode))
        labels = ("forward", str(self.target), rcode)
        self.counters.proxy_durations.labels(*labels).observe(seconds)
        return reply._replace(id=message.id)

    async def _ask_dns(self, message: Message, proto: str) -> Message:
        tls = self.target.transport == "tls"
        pool = self._tcp if tls or proto == "tcp" else self._udp
        reply, kept = await pool.ask(message, self.manner.timeout_s)
        family = self.counters.proxy_hits if kept else self.counters.proxy_misses
        name = "tcp-tls" if tls else "tcp" if pool is self._tcp else "udp"
        family.labels("forward", str(self.target), name).inc()
        return reply

    async def _ask_https(self, message: Message) -> Message:
        if self._http is None:
            self._http = HttpTransport(f"https://{self.target}")
        wire = render(message._replace(id=0))
        headers = {"accept": MEDIA, "content-type": MEDIA}
        if self.manner.get:
            text = base64.urlsafe_b64encode(wire).rstrip(b"=").decode()
            request = Request("GET", PATH, f"dns={text}", headers)
        else:
            request = Request("POST", PATH, "", headers, wire)
        try:
            response = await self._http.request(request, timeout_s=self.manner.timeout_s)
            if response.status != 200:
                raise Failed(f"https {self.target}: status {response.status}")
            return parse(await response.read())
        except (Unreachable, BadMessage) as bad:
            raise Failed(str(bad)) from bad

    # Health

    def is_down(self, max_fails: int) -> bool:
        return max_fails > 0 and self.fails > max_fails

    def suspect(self) -> None:
        """Begin to probe, unless that is going on."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.get_running_loop().create_task(self._probe())

    async def _probe(self) -> None:
        asked = query(self.manner.probe_domain, codes.NS, self.chance.getrandbits(16))
        if not self.manner.probe_recursion:
            asked = asked._replace(flags=0)
        while True:
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_S):
                    if self.target.transport == "https":
                        await self._ask_https(asked)
                    else:
                        pool = self._tcp if self.target.transport == "tls" else self._udp
                        await pool.ask(asked, PROBE_TIMEOUT_S)
                self.fails = 0
                return
            except (OSError, TimeoutError):
                self.fails += 1
                self.counters.proxy_failures.labels("forward", str(self.target)).inc()
            await self.clock.sleep(self.manner.probe_every_s)

    async def close(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
        self._udp.close()
        self._tcp.close()
        if self._http is not None:
            await self._http.close()
