"""*k8s_external* answers for services by their external addresses, in a zone of its own."""

from __future__ import annotations

from collections.abc import Hashable

from sampan.dns import codes, names
from sampan.dns.arguments import Fall
from sampan.dns.backend import SERIAL, Asked, Found
from sampan.dns.corefile import CorefileError
from sampan.dns.kube.external import External
from sampan.dns.kube.lookup import base_of
from sampan.dns.kube.outside import records_for, zone_records
from sampan.dns.message import Record
from sampan.dns.plugin import Handler, Plugin, Query, Reply, Validity, reply_to
from sampan.dns.rdata import a_record, name_record, soa_record
from sampan.dns.setup import Args, Settings

TIMES = (7200, 1800, 86400)


class K8sExternal(Plugin):
    static = True

    def __init__(self, block: Settings) -> None:
        self.block = block
        self.zones: tuple[str, ...] = (".",)
        self.apex = "dns"
        self.ttl = 5
        self.headless = False
        self.fall = Fall()
        self.view: External | None = None

    async def start(self) -> None:
        found = self.block.plugins.get("kubernetes", [])
        if not found:
            raise CorefileError("plugin/k8s_external: kubernetes plugin not loaded")
        self.view = External(found[0].cluster, headless=self.headless)  # type: ignore[attr-defined]

    async def answer(self, query: Query, following: Handler) -> Reply:
        zone = names.longest_zone(query.name, self.zones)
        if not zone:
            return await following(query)
        assert self.view is not None
        asked = Asked(query.name, query.qname, query.type, zone, query)
        if query.name == zone:
            return self._at_apex(asked)
        if names.is_below(query.name, f"{self.apex.lower()}.{zone}"):
            return self._below_apex(asked)
        services, rcode = self.view.find(asked)
        if not services:
            if rcode == codes.NXDOMAIN and self.fall.through(query.name):
                return await following(query)
            return self._empty(asked, rcode)
        return await self._found(asked, services)

    async def _found(self, asked: Asked, services: list[Found]) -> Reply:
        if asked.type == codes.PTR:
            records = [
                name_record(asked.qname, codes.PTR, self.ttl, f"{one.host}.{self.zones[0]}")
                for one in dict.fromkeys(services)
            ]
            extra: list[Record] = []
        else:
            records, extra = await records_for(asked, services, self.ttl)
        if not records:
            return self._empty(asked, codes.NOERROR)
        reply = reply_to(asked.query)
        return reply._replace(
            flags=reply.flags | (codes.TC if asked.truncated else 0),
            answer=tuple(records),
            additional=tuple(extra),
            validity=None if asked.outside else Validity(tuple(asked.tags)),
        )

    def _at_apex(self, asked: Asked) -> Reply:
        reply = reply_to(asked.query)
        if asked.type == codes.SOA:
            return self._kept(asked, reply._replace(answer=(self._soa(asked.zone),)))
        if asked.type == codes.NS:
            record = name_record(asked.zone, codes.NS, self.ttl, self._server(asked.zone))
            extra = self._own(asked, self._server(asked.qname))
            return self._kept(asked, reply._replace(answer=(record,), additional=tuple(extra)))
        return self._empty(asked, codes.NOERROR)

    def _below_apex(self, asked: Asked) -> Reply:
        """`dns.ZONE` is empty, `ns1.dns.ZONE` are we, anything else is nothing."""
        labels = names.split(base_of(asked.name, asked.zone))
        if len(labels) == 1:
            return self._empty(asked, codes.NOERROR)
        if len(labels) != 2 or labels[0] != "ns1":
            return self._empty(asked, codes.NXDOMAIN)
        found = [r for r in self._own(asked, asked.qname) if r.type == asked.type]
        if not found:
            return self._empty(asked, codes.NOERROR)
        return self._kept(asked, reply_to(asked.query)._replace(answer=tuple(found)))

    def _own(self, asked: Asked, name: str) -> list[Record]:
        assert self.view is not None
        return [a_record(name, self.ttl, ip) for ip in self.view.own_addresses(asked.tags)]

    def _empty(self, asked: Asked, rcode: int) -> Reply:
        reply = reply_to(asked.query, rcode=rcode)
        return self._kept(asked, reply._replace(authority=(self._soa(asked.zone),)))

    def _kept(self, asked: Asked, reply: Reply) -> Reply:
        tags: tuple[Hashable, ...] = (*asked.tags, SERIAL)
        return reply._replace(validity=Validity(tags))

    def _server(self, zone: str) -> str:
        return f"ns1.{self.apex}.{zone}"

    def _soa(self, zone: str) -> Record:
        assert self.view is not None
        numbers = (self.view.serial, *TIMES, self.ttl)
        mailbox = f"hostmaster.{self.apex}.{zone}"
        return soa_record(zone, self.ttl, self._server(zone), mailbox, numbers)

    def transfer(self, zone: str, serial: int) -> list[Record] | None:
        if zone not in self.zones or self.view is None:
            return None
        soa = self._soa(zone)
        if serial and serial >= self.view.serial:
            return [soa]
        host = self._server(zone)
        head = [soa, name_record(zone, codes.NS, self.ttl, host)]
        head += (a_record(host, self.ttl, ip) for ip in self.view.own_addresses(set()))
        return [*head, *zone_records(self.view, zone, self.ttl), soa]


def setup(args: Args) -> Plugin:
    external = K8sExternal(args.block)
    for words in args.places():
        external.zones = args.zones(words)
        for name in args.properties():
            if name == "ttl":
                external.ttl = _ttl(args)
            elif name == "apex":
                external.apex = args.some()[0]
            elif name == "headless":
                external.headless = True
            elif name == "fallthrough":
                external.fall = Fall.from_args(args.rest())
            else:
                raise args.unknown()
    return external


def _ttl(args: Args) -> int:
    word = args.some()[0]
    if not word.lstrip("-").isdigit():
        raise CorefileError(f'strconv.Atoi: parsing "{word}": invalid syntax')
    if not 0 <= int(word) <= 3600:
        raise args.error(f"ttl must be in range [0, 3600]: {int(word)}")
    return int(word)
