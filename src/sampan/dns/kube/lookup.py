"""Names of the Kubernetes DNS specification to services, endpoints and pods.

    _port._proto.service.namespace.svc.Z      endpoint.service.namespace.svc.Z
    service.namespace.svc.Z                   1-2-3-4.namespace.pod.Z

`Cluster` is the source that `backend` makes records from.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import NamedTuple

from sampan.dns import codes, names
from sampan.dns.backend import Asked, Found, kind_of_host
from sampan.dns.kube.families import Families, address_in, spelled_in
from sampan.dns.kube.model import Model
from sampan.dns.kube.objects import Import, Service, Slice
from sampan.dns.kube.options import Options
from sampan.dns.kube.places import NOTHING, Front, Place, at_endpoints, of_import, of_service

VERSION = "1.1.0"
VERSION_TTL = 28800
ANCHOR = "_zone"
Tags = set[Hashable]


class Request(NamedTuple):
    """The parts of a name; empty parts match everything."""

    kind: str = ""
    """`svc`, `pod`, or empty above them."""
    namespace: str = ""
    service: str = ""
    front: Front = NOTHING


def parse(base: str, *, multicluster: bool = False, zonal: bool = False) -> Request | None:
    """The lower-case name without its zone; None for what cannot exist."""
    if base in ("", "svc", "pod"):
        return Request()
    *left, kind = names.split(base)
    if kind not in ("svc", "pod"):
        return None
    depth = len(left)
    if depth == 2:
        return Request(kind, left[1], left[0])
    if depth == 3:
        return Request(kind, left[2], left[1], Front(left[0]))
    head = Request(kind, left[-1], left[-2] if depth > 1 else "")
    return head if depth == 1 else _further(head, left[:-2], multi=multicluster, zonal=zonal)


def _further(head: Request, left: list[str], *, multi: bool, zonal: bool) -> Request | None:
    """`_port._protocol`, `endpoint.cluster`, or `zone.pin._zone`; anything longer is nothing."""
    if len(left) == 2:
        first, second = left
        if not multi or first.startswith("_") or second.startswith("_"):
            port, protocol = first.removeprefix("_"), second.removeprefix("_")
            return head._replace(front=Front("", port, protocol))
        return head._replace(front=Front(first, cluster=second))
    scoped = zonal and not multi and left[-1] == ANCHOR and head.kind == "svc"
    if not scoped or left[-2] not in ("pin", "prefer"):
        return None
    zone, prefers = ".".join(left[:-2]), left[-2] == "prefer"
    return head._replace(front=Front(zone=zone, prefers=prefers))


class Cluster:
    """The source of a cluster's names."""

    def __init__(self, model: Model, options: Options) -> None:
        self.model = model
        self.options = options
        self.families = Families(model, options)

    @property
    def ttl(self) -> int:
        return self.options.ttl

    def serial(self, zone: str) -> int:
        if self.is_multi(zone):
            return self.model.multi_modified
        return self.model.modified

    def is_multi(self, zone: str) -> bool:
        return self.options.is_multi(zone)

    def exposed(self, namespace: str, tags: Tags) -> bool:
        tags.add(("ns", namespace))
        chosen = self.options.namespaces
        return (not chosen or namespace in chosen) and namespace in self.model.namespaces

    # What `backend` asks

    async def services(self, asked: Asked) -> list[Found] | None:
        base = base_of(asked.name, asked.zone)
        if asked.type == codes.TXT:
            return self._texts(asked, base)
        if base == "ns.dns" and self._is_server(asked):
            return self._own(asked)
        found = self.find(asked, base)
        if asked.type == codes.SRV and found:
            return [one for one in found if one.type != codes.CNAME]
        return found

    async def reverse(self, asked: Asked) -> list[Found] | None:
        ip = names.address_of_reverse(asked.name)
        if not ip:
            found = self.find(asked, base_of(asked.name, asked.zone))
            return None if found is None else []
        return self._at_address(ip, asked.tags) or None

    def missing_labels(self, asked: Asked) -> int:
        """For a name that does not exist: how many of its last labels already say so, whatever
        stands in front of them; 0 when that takes the whole name.
        """
        labels = names.split(base_of(asked.name, asked.zone))
        zone = len(names.split(asked.zone))
        if asked.name.endswith((".in-addr.arpa.", ".ip6.arpa.")) or labels[-1:] == ["dns"]:
            return 0
        if not labels or labels[-1] not in ("svc", "pod"):
            return zone + 1
        if len(labels) > 1 and not self.exposed(labels[-2], asked.tags):
            return zone + 2
        if len(labels) < 3 or labels[-1] == "pod":
            return 0
        key, multi = (labels[-2], labels[-3]), self.is_multi(asked.zone)
        asked.tags.add(("import" if multi else "svc", *key))
        return 0 if key in (self.model.imports if multi else self.model.services) else zone + 3

    def find(self, asked: Asked, base: str) -> list[Found] | None:
        """What stands at a name; None for NXDOMAIN, empty for NODATA."""
        multi = self.is_multi(asked.zone)
        request = parse(base, multicluster=multi, zonal=self.options.zonal)
        if request is None or not request.kind:
            return None if request is None else []
        if asked.name.endswith((".in-addr.arpa.", ".ip6.arpa.")):
            return None
        if not self.exposed(request.namespace, asked.tags):
            return None
        if request.kind == "pod":
            return self._pods(request, asked)
        if not request.service:
            return []
        return self._imported(request, asked) if multi else self._services(request, asked)

    def _texts(self, asked: Asked, base: str) -> list[Found] | None:
        if base == "dns-version":
            return [Found("", ttl=VERSION_TTL, text=VERSION)]
        found = self.find(asked, base)
        if found:
            return []
        # An existing name that is empty (a drained zone) must not be denied for one type.
        request = parse(base, zonal=self.options.zonal)
        return [] if found is not None and request is not None and request.front.zone else None

    # Services

    def _services(self, request: Request, asked: Asked) -> list[Found] | None:
        key = (request.namespace, request.service)
        asked.tags.add(("svc", *key))
        service = self.model.services.get(key)
        if service is None:
            return None
        if service.type == "ExternalName":
            return self._external(service, request)
        places = of_service(self.model, service, request.front, self.options)
        return self._found(places, self.domain(service, asked.zone))

    def _found(self, places: Iterable[Place] | None, domain: str) -> list[Found] | None:
        if places is None:
            return None
        ttl = self.ttl
        return [
            Found(ip, f"{label}.{domain}" if label else domain, port, ttl)
            for label, ip, port in places
        ]

    def domain(self, service: Service | Import, zone: str) -> str:
        dot = "" if zone == "." else zone
        return f"{service.name}.{service.namespace}.svc.{dot}"

    def _external(self, service: Service, request: Request) -> list[Found] | None:
        if request.front != NOTHING:
            return None
        if kind_of_host(service.external_name) != codes.CNAME or not service.external_name:
            return None
        return [Found(service.external_name, ttl=self.ttl)]

    def endpoints(
        self, slices: Iterable[Slice], front: Front, domain: str, *, multi: bool = False
    ) -> list[Found]:
        places = at_endpoints(slices, front, self.options.label_of, multi=multi)
        return self._found(places, domain) or []

    def _imported(self, request: Request, asked: Asked) -> list[Found] | None:
        key = (request.namespace, request.service)
        asked.tags.add(("import", *key))
        service = self.model.imports.get(key)
        if service is None:
            return None
        places = of_import(self.model, service, request.front, self.options)
        return self._found(places, self.domain(service, asked.zone))

    # Pods

    def _pods(self, request: Request, asked: Asked) -> list[Found] | None:
        if self.options.pods == "disabled":
            return None
        label = request.service
        if not label:
            return []
        verified = self.options.pods == "verified"
        ip = spelled_in(label) if verified else address_in(label)[1]
        if not ip:
            return None
        dot = "" if asked.zone == "." else asked.zone
        one = Found(ip, f"{label}.{request.namespace}.pod.{dot}", ttl=self.ttl)
        if not verified:
            return [one]
        asked.tags.add(("pod", ip))
        keys = self.model.pod_ips.get(ip, ())
        return [one for namespace, _ in keys if namespace == request.namespace] or None

    # Addresses

    def _at_address(self, ip: str, tags: Tags) -> list[Found]:
        """The service of an address, else every service that has it as an endpoint."""
        tags.add(("ip", ip))
        dot = "" if self.options.primary == "." else self.options.primary
        for namespace, name in self.model.service_ips.get(ip, ()):
            if self.listed(namespace, tags):
                return [Found(f"{name}.{namespace}.svc.{dot}", ttl=self.ttl)]
        found: list[Found] = []
        for namespace, slice_name in sorted(self.model.endpoint_ips.get(ip, ())):
            if not self.listed(namespace, tags):
                continue
            one = self.model.slices[namespace, slice_name]
            found += (
                Found(
                    f"{self.options.label_of(e)}.{one.service}.{namespace}.svc.{dot}", ttl=self.ttl
                )
                for e in one.endpoints
                if e.ip == ip
            )
        return found

    def listed(self, namespace: str, tags: Tags) -> bool:
        return not self.options.namespaces or self.exposed(namespace, tags)

    def _is_server(self, asked: Asked) -> bool:
        """As upstream has it, the name server's own name stands only below a zone that is asked for
        in lower case, and not below the root; the zone's NS record has its addresses always.
        """
        return asked.type == codes.NS or asked.zone == asked.zone.lower() != "."

    def _own(self, asked: Asked) -> list[Found]:
        """The addresses of this name server."""
        kinds = (codes.A, codes.AAAA) if asked.type == codes.NS else (asked.type,)
        found = self.name_servers(asked.zone, asked.tags)
        return [one for one in found if one.type in kinds]

    def name_servers(self, zone: str, tags: Tags) -> list[Found]:
        """The services that stand for us, by our own addresses; else those addresses."""
        tags.add("self")
        found: list[Found] = []
        known = False
        for ip in self.options.local_ips:
            for key in self.model.endpoint_ips.get(ip, ()):
                known = True
                one = self.model.slices[key]
                service = self.model.services.get((one.namespace, one.service))
                if service is not None:
                    found += self._standing(service, one, zone)
        if known:
            return found
        dot = "" if zone == "." else zone
        return [Found(ip, f"ns.dns.{dot}", ttl=self.ttl) for ip in self.options.local_ips]

    def _standing(self, service: Service, one: Slice, zone: str) -> list[Found]:
        domain = self.domain(service, zone)
        if service.headless:
            return [
                Found(e.ip, f"{self.options.label_of(e)}.{domain}", ttl=self.ttl)
                for e in one.endpoints
            ]
        return [Found(ip, domain, ttl=self.ttl) for ip in service.ips]


def base_of(name: str, zone: str) -> str:
    """The lower-case name without its zone and without the dot in between."""
    if zone == ".":
        return name[:-1]
    return name[: -len(zone)].removesuffix(".")
