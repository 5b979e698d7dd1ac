"""A cluster's zone as a whole, for a transfer: every service in the order of its name."""

from __future__ import annotations

from collections.abc import Iterator

from sampan.dns import backend, codes, names
from sampan.dns.backend import Found
from sampan.dns.kube.lookup import Cluster
from sampan.dns.kube.objects import Import, Port, Service, Slice
from sampan.dns.kube.places import NOTHING
from sampan.dns.message import Record
from sampan.dns.rdata import a_record, name_record, srv_record


def zone_records(cluster: Cluster, zone: str, serial: int) -> list[Record]:
    """The whole zone, the SOA first and last; the SOA alone for who has this serial."""
    soa = backend.soa(cluster, zone)
    if serial and serial == cluster.serial(zone):
        return [soa]
    records = [soa, *_servers(cluster, zone)]
    multi, model = cluster.is_multi(zone), cluster.model
    services: list[Service | Import]
    services = list(model.imports.values()) if multi else list(model.services.values())
    for service in sorted(services, key=lambda one: (one.name, one.namespace)):
        if cluster.exposed(service.namespace, set()):
            records += _service(cluster, service, zone, multi=multi)
    return [*records, soa]


def _servers(cluster: Cluster, zone: str) -> Iterator[Record]:
    found = cluster.name_servers(zone, set())
    for host in dict.fromkeys(one.domain for one in found):
        yield name_record(zone, codes.NS, cluster.ttl, host)
    for one in found:
        yield a_record(one.domain, 0, one.host)


def _service(
    cluster: Cluster, service: Service | Import, zone: str, *, multi: bool
) -> Iterator[Record]:
    domain, ttl = cluster.domain(service, zone), cluster.ttl
    if isinstance(service, Service) and service.type == "ExternalName":
        alias = Found(service.external_name)
        if alias.type == codes.CNAME:
            yield name_record(domain, codes.CNAME, ttl, names.fqdn(service.external_name))
    elif service.ips and not service.headless:
        yield from (a_record(domain, ttl, ip) for ip in service.ips)
        for port in service.ports:
            if port.number != -1:
                yield srv_record(domain, ttl, (0, 100, port.number), domain)
                yield from _named(port, domain, ttl, 100, domain)
    else:
        key = (service.namespace, service.name)
        model = cluster.model
        slices = model.import_endpoints(key) if multi else model.endpoints(key)
        yield from _headless(cluster, slices, domain, multi=multi)


def _headless(
    cluster: Cluster, slices: list[Slice], domain: str, *, multi: bool
) -> Iterator[Record]:
    ttl = cluster.ttl
    for one in slices:
        weight = max(1, 100 // len(one.endpoints)) if one.endpoints else 1
        every = one._replace(ports=(Port("", "", -1),))
        for found in cluster.endpoints([every], NOTHING, domain, multi=multi):
            target = found.domain
            if found.type == codes.CNAME:
                target = "."  # a name in an address' place has no record of its own
            else:
                yield a_record(domain, ttl, found.host)
                yield a_record(target, ttl, found.host)
            for port in one.ports:
                yield from _named(port, domain, ttl, weight, target)


def _named(port: Port, domain: str, ttl: int, weight: int, target: str) -> Iterator[Record]:
    """Ports without a name have no record of their own."""
    if port.name:
        owner = f"_{port.name}._{port.protocol}.{domain}"
        number = port.number & 0xFFFF  # all ports are told as upstream tells them, as the last one
        yield srv_record(owner, ttl, (0, weight, number), target)
