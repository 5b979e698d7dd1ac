"""Where a Service's name leads to. Records (`lookup`) and replies made without them (`outcomes`)
come from the same places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from sampan.dns.kube.model import Model
from sampan.dns.kube.objects import Endpoint, Import, Port, Service, Slice
from sampan.dns.kube.options import Options


class Front(NamedTuple):
    """What stands in front of a Service's label; empty parts match everything."""

    endpoint: str = ""
    port: str = ""
    protocol: str = ""
    cluster: str = ""
    zone: str = ""
    prefers: bool = False
    """Endpoints of other zones will do where this one has none."""

    def numbers(self, ports: Iterable[Port]) -> list[int]:
        """Of the ports that are meant."""
        wanted, protocol, found = self.port, self.protocol, list[int]()
        for port in ports:
            if (not wanted or wanted == port.name) and (not protocol or protocol == port.protocol):
                found.append(port.number)
        return found


NOTHING = Front()
LabelOf = Callable[[Endpoint], str]


Place = tuple[str, str, int]
"""What stands in front of the Service's name (the label of an endpoint, with its cluster's behind
it in multicluster zones; empty for the Service itself), an address, and a port.
"""


def of_service(
    model: Model, service: Service, front: Front, options: Options
) -> list[Place] | None:
    """Places of a Service with addresses or endpoints; None for no such name."""
    key = (service.namespace, service.name)
    if service.headless:
        found = at_endpoints(model.endpoints(key), front, options.label_of)
        if not found and front.prefers:
            anywhere = front._replace(zone="")
            found = at_endpoints(model.endpoints(key), anywhere, options.label_of)
        return found if found or front.zone else None
    if front.zone:
        return None
    if front.endpoint:
        return at_endpoints(model.endpoints(key), front, options.label_of) or None
    if options.ignore_empty and not any(one.endpoints for one in model.endpoints(key)):
        return None
    return at_addresses(service, front)


def of_import(model: Model, service: Import, front: Front, options: Options) -> list[Place] | None:
    """The same, of a Service of several clusters."""
    slices = model.import_endpoints((service.namespace, service.name))
    if service.headless or front.endpoint:
        return at_endpoints(slices, front, options.label_of, multi=True) or None
    if options.ignore_empty and not any(one.endpoints for one in slices):
        return None
    return at_addresses(service, front)


def at_addresses(service: Service | Import, front: Front) -> list[Place] | None:
    """The name stands by its ports: one that waits for its addresses is there, and empty."""
    numbers = front.numbers(service.ports)
    return [("", ip, number) for number in numbers for ip in service.ips] if numbers else None


def at_endpoints(
    slices: Iterable[Slice], front: Front, label_of: LabelOf, *, multi: bool = False
) -> list[Place]:
    found: list[Place] = []
    for one in slices:
        if multi and front.endpoint and front.cluster != one.cluster.lower():
            continue
        numbers = front.numbers(one.ports)
        for endpoint in one.endpoints:
            if front.zone and endpoint.zone != front.zone:
                continue
            label = label_of(endpoint)
            if front.endpoint and front.endpoint != label.lower():
                continue
            if multi:
                label = f"{label}.{one.cluster}"
            found += [(label, endpoint.ip, number) for number in numbers]
    return found
