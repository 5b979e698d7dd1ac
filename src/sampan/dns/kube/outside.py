"""Records of services as they are seen from outside; the other half of *k8s_external*."""

from __future__ import annotations

from collections.abc import Iterator

from sampan.dns import backend, codes, names
from sampan.dns.backend import Asked, Found
from sampan.dns.kube.external import External
from sampan.dns.kube.places import NOTHING
from sampan.dns.message import Record
from sampan.dns.rdata import a_record, name_record, srv_record


async def records_for(
    asked: Asked, services: list[Found], ttl: int
) -> tuple[list[Record], list[Record]]:
    """Answer and additional records; a name as an external address is an alias.

    Addresses live for `ttl`, ports and aliases as long as those of *kubernetes*.
    """
    if asked.type == codes.SRV:
        return await _targets(asked, services, ttl)
    records: list[Record] = []
    if asked.type not in (codes.A, codes.AAAA):
        return records, []
    seen: set[str] = set()
    for one in services:
        if one.type == codes.CNAME:  # one for each port, as upstream has it
            target = names.fqdn(one.host)
            records.append(name_record(asked.qname, codes.CNAME, one.ttl, target))
            records += await backend.elsewhere(asked, target, asked.type)
        elif one.type == asked.type and one.host not in seen:
            seen.add(one.host)
            records.append(a_record(asked.qname, ttl, one.host))
    return records, []


async def _targets(
    asked: Asked, services: list[Found], ttl: int
) -> tuple[list[Record], list[Record]]:
    records: list[Record] = []
    extra: list[Record] = []
    weight = max(1, 100 // len(services))
    for one in services:
        if one.port == -1:
            continue
        is_name = one.type == codes.CNAME
        target = names.fqdn(one.host) if is_name else one.domain
        record = srv_record(asked.qname, one.ttl, (0, weight, one.port), target)
        if record not in records:
            records.append(record)
        if not is_name:
            address = a_record(target, ttl, one.host)
            extra += [] if address in extra else [address]
        elif not any(other.name == target for other in extra):
            extra += await backend.elsewhere(asked, target, codes.A)
            extra += await backend.elsewhere(asked, target, codes.AAAA)
    return records, extra


def zone_records(view: External, zone: str, ttl: int) -> Iterator[Record]:
    """Every service with an external address, for a transfer."""
    for key in sorted(view.cluster.model.services):
        service = view.cluster.model.services[key]
        if not view.cluster.exposed(service.namespace, set()):
            continue
        domain = f"{service.name}.{service.namespace}.{zone}"
        found = view.at_outside(service, NOTHING, domain)
        if view.headless and not service.external_ips and service.headless:
            slices = view.cluster.model.endpoints(key)
            found = view.cluster.endpoints(slices, NOTHING, domain)
        records = [record for one in found for record in _whole(one, domain, ttl)]
        for port in service.ports:
            if port.name and found:
                owner = f"_{port.name}._{port.protocol}.{domain}"
                records.append(srv_record(owner, view.cluster.ttl, (0, 100, port.number), domain))
        yield from dict.fromkeys(records)


def _whole(one: Found, domain: str, ttl: int) -> Iterator[Record]:
    if one.type == codes.CNAME:
        yield name_record(domain, codes.CNAME, one.ttl, names.fqdn(one.host))
        return
    yield a_record(domain, ttl, one.host)
    if one.domain != domain:
        yield a_record(one.domain, ttl, one.host)
    if one.port != -1:
        yield srv_record(domain, one.ttl, (0, 100, one.port), one.domain)
