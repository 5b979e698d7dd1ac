"""Gives Services their addresses and ports.

The record of an address is its IPAddress object, written and removed in the very transaction that
writes the Service, so that two API servers cannot give one address away twice. Ports follow the
stored Services. What a write under way has taken is `pending` until it is stored or given up;
nothing else is remembered, so nothing can leak, and a restart has nothing to repair.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from sampan.api.errors import FieldError, InternalError, Invalid, Unclassified
from sampan.api.meta import Json, Key
from sampan.api.resource import Needs
from sampan.apiserver.allocators.pools import Pool, address_pool, port_pool
from sampan.apiserver.cacher.cacher import Cacher, key_for
from sampan.apiserver.cacher.collection import Event
from sampan.apiserver.cacher.item import Item, value_of
from sampan.apiserver.served import Served
from sampan.store.base import Compare, Delete, Put

NETWORKING = "networking.k8s.io"
DRY_RUN_PORT = 32768
"""Where upstream's made-up node ports of a dry run begin."""
HEALTH_CHECK = "spec.healthCheckNodePort"
NO_NEEDS = Needs()


@dataclass(slots=True)
class Taken:
    """A reservation: what is pending, and what the transaction must write beside the object."""

    allocator: ServiceAllocator
    ips: list[str] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    compares: list[Compare] = field(default_factory=list)
    writes: list[Put | Delete] = field(default_factory=list)

    def release(self) -> None:
        """The write is stored (then the objects themselves tell) or given up."""
        self.allocator.pending_ips.difference_update(self.ips)
        self.allocator.pending_ports.difference_update(self.ports)
        self.ips, self.ports = [], []


class ServiceAllocator:
    """Every method runs between two awaits: nobody sees half a reservation."""

    def __init__(
        self,
        cacher: Cacher,
        ranges: tuple[str, ...],
        node_ports: tuple[int, int],
        timestamp: Callable[[], str],
    ) -> None:
        self._ranges = ranges
        self._families = tuple(
            dict.fromkeys(
                "IPv6" if ipaddress.ip_network(each).version == 6 else "IPv4" for each in ranges
            )
        )
        self._ports = port_pool(*node_ports)
        self._timestamp = timestamp
        self._addresses = cacher.collection(NETWORKING, "ipaddresses")
        self._cidrs = cacher.collection(NETWORKING, "servicecidrs")
        self._owners: dict[int, Key] = {}
        self._held: dict[Key, tuple[int, ...]] = {}
        self.pending_ips: set[str] = set()
        self.pending_ports: set[int] = set()
        for item in cacher.collection("", "services").items():
            self._follow(Event(item.revision, item, None))
        cacher.listen("", "services", self._follow)

    def _follow(self, event: Event) -> None:
        """Keep the owners of node ports as the stored Services have them."""
        subject = event.subject
        owner = Key(subject.namespace, subject.name)
        for port in self._held.pop(owner, ()):
            if self._owners.get(port) == owner:
                del self._owners[port]
        if event.item is not None and b'odePort":' in event.item.body:
            ports = tuple(_ports_of(event.item))
            self._held[owner] = ports
            self._owners.update(dict.fromkeys(ports, owner))

    # -- reserving

    def reserve(
        self, served: Served, new: Json | None, old: Json | None, *, dry_run: bool
    ) -> Taken | None:
        """Take what `new` needs, write it into it, and free what only `old` held.

        Raises Invalid for what is taken or out of range, InternalError when a pool is empty.
        """
        if new is not None:
            errors = served.resource.families(new, old, self._families)
            if errors:
                raise Invalid.of(served.id, new["metadata"].get("name") or "", errors)
        needs = served.resource.needs
        wanted = needs(new, old) if new is not None else None
        held = needs(old, None) if old is not None else None
        if wanted is None and held is None:
            return None
        subject = new if new is not None else old
        assert subject is not None
        meta = subject["metadata"]
        owner = Key(meta.get("namespace", ""), meta.get("name") or "")
        taken = Taken(self)
        try:
            ips = self._take_ips(served, owner, wanted or NO_NEEDS, taken, dry_run=dry_run)
            if new is not None and old is not None and wanted is not None:
                self._refuse_twice_named(served, owner, new, dry_run=dry_run)
            ports, health = self._take_ports(served, owner, wanted or NO_NEEDS, taken, dry_run)
        except BaseException:
            taken.release()
            raise
        if new is not None and wanted is not None:
            served.resource.assign(new, ips, ports, health)
        if not dry_run:
            self._record(owner, ips, (held or NO_NEEDS).ips, taken)
        return taken

    def _take_ips(
        self, served: Served, owner: Key, needs: Needs, taken: Taken, *, dry_run: bool
    ) -> tuple[str, ...]:
        found = []
        for wish, family in zip(needs.ips, needs.ip_families, strict=False):
            ip = wish or self._any_ip(family)
            if not owner.name and not dry_run:
                raise _nameless(served, needs, ip)
            if wish:
                complaint = self._ip_complaint(wish, owner)
                if complaint:
                    text = f"failed to allocate IP {wish}: {complaint}"
                    error = FieldError(
                        "Invalid", "spec.clusterIPs", [w for w in needs.ips if w], text
                    )
                    raise Invalid.of(served.id, owner.name, [error])
            found.append(ip)
            if not dry_run:
                self.pending_ips.add(ip)
                taken.ips.append(ip)
        return tuple(found)

    def _ip_complaint(self, ip: str, owner: Key) -> str:
        number = int(ipaddress.ip_address(ip))
        version = ipaddress.ip_address(ip).version
        if not any(pool.holds(number) for pool in self._pools(version)):
            return "the provided network does not match the current range"
        item = self._addresses.get("", ip)
        if ip in self.pending_ips or (item is not None and _parent(item) != owner):
            return "provided IP is already allocated"
        return ""

    def _any_ip(self, family: str) -> str:
        version = 6 if family == "IPv6" else 4
        make = ipaddress.IPv6Address if version == 6 else ipaddress.IPv4Address

        def taken(number: int) -> bool:
            ip = str(make(number))
            return ip in self.pending_ips or self._addresses.get("", ip) is not None

        for pool in self._pools(version):
            number = pool.any_free(taken, secrets.randbelow)
            if number is not None:
                return str(make(number))
        raise InternalError(
            "Internal error occurred: failed to allocate a serviceIP: range is full"
        )

    def _pools(self, version: int) -> Iterable[Pool]:
        """Of the flags first, then of other ServiceCIDRs that are ready."""
        seen = set(self._ranges)
        for cidr in self._ranges:
            if ipaddress.ip_network(cidr).version == version:
                yield address_pool(cidr)
        for item in self._cidrs.items():
            cidr_object = item.decode()
            if not _ready(cidr_object):
                continue
            for cidr in cidr_object["spec"].get("cidrs") or ():
                if cidr not in seen and ipaddress.ip_network(cidr).version == version:
                    yield address_pool(cidr)

    def _take_ports(
        self, served: Served, owner: Key, needs: Needs, taken: Taken, dry_run: bool
    ) -> tuple[tuple[int, ...], int]:
        made_up = DRY_RUN_PORT
        found = []
        wishes = [*(number for number, _ in needs.node_ports)]
        paths = list(needs.port_paths)
        if needs.health_check_port is not None:
            wishes.append(needs.health_check_port)
            paths.append(HEALTH_CHECK)
        # Certain ports first: "any" must not take what this very object names.
        order = sorted(range(len(wishes)), key=lambda at: wishes[at] == 0)
        chosen = dict.fromkeys(range(len(wishes)), 0)
        for at in order:
            number = wishes[at]
            if number:
                complaint = self._port_complaint(owner, number, chosen.values(), dry_run=dry_run)
                if complaint:
                    raise _refused_port(served, owner, number, paths[at], complaint)
            elif dry_run:
                made_up += 1
                number = made_up
            else:
                number = self._any_port()
            chosen[at] = number
            if not dry_run:
                self.pending_ports.add(number)
                taken.ports.append(number)
        found = [chosen[at] for at in range(len(wishes))]
        health = found.pop() if needs.health_check_port is not None else 0
        return tuple(found), health

    def _refuse_twice_named(self, served: Served, owner: Key, svc: Json, *, dry_run: bool) -> None:
        """An update that names a node port twice is refused before it is validated, and by upstream
        in words that never became a proper error (`updateNodePorts`, 1.36); what is wrong with a
        port before that one is told instead.
        """
        seen = set()
        has_ports = svc["spec"].get("type") in ("NodePort", "LoadBalancer")
        for at, port in enumerate(svc["spec"].get("ports") or () if has_ports else ()):
            number = port.get("nodePort")
            if not number:
                continue
            named = (port.get("protocol") or "TCP", number)
            complaint = self._port_complaint(owner, number, (), dry_run=dry_run)
            if complaint:
                path = f"spec.ports[{at}].nodePort"
                raise _refused_port(served, owner, number, path, complaint)
            if named in seen:
                raise Unclassified(f"duplicate nodePort: {{{named[0]} {number}}}")
            seen.add(named)

    def _port_complaint(
        self, owner: Key, number: int, mine: Collection[int], *, dry_run: bool
    ) -> str:
        """Why the port cannot be had; a dry run does not ask whether it is one of the range."""
        holder = self._owners.get(number)
        if number not in mine and holder == owner:
            return ""
        if not self._ports.holds(number) and not dry_run:
            pool = self._ports
            return (
                "provided port is not in the valid range. The range of valid ports is "
                f"{pool.first}-{pool.last}"
            )
        if number in mine or holder is not None or number in self.pending_ports:
            return "provided port is already allocated"
        return ""

    def _any_port(self) -> int:
        def taken(number: int) -> bool:
            return number in self._owners or number in self.pending_ports

        number = self._ports.any_free(taken, secrets.randbelow)
        if number is None:
            text = "Internal error occurred: failed to allocate a nodePort: range is full"
            raise InternalError(text)
        return number

    # -- the record

    def _record(self, owner: Key, ips: tuple[str, ...], before: tuple[str, ...], t: Taken) -> None:
        """IPAddress objects to be written and removed with the Service."""
        for ip in ips:
            item = self._addresses.get("", ip)
            if item is None:
                key = key_for(NETWORKING, "ipaddresses", "", ip)
                t.compares.append(Compare(key, 0))
                t.writes.append(Put(key, value_of(self.address_object(ip, owner))))
        for ip in set(before) - set(ips) - {"", "None"}:
            item = self._addresses.get("", ip)
            if item is not None and _parent(item) == owner:
                t.writes.append(Delete(key_for(NETWORKING, "ipaddresses", "", ip)))

    def address_object(self, ip: str, owner: Key) -> Json:
        import uuid

        return {
            "kind": "IPAddress",
            "apiVersion": "networking.k8s.io/v1",
            "metadata": {
                "name": ip, "uid": str(uuid.uuid4()), "creationTimestamp": self._timestamp(),
                "generation": 1,
                "labels": {
                    "ipaddress.kubernetes.io/ip-family": "IPv6" if ":" in ip else "IPv4",
                    "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
                },
            },
            "spec": {
                "parentRef": {
                    "resource": "services", "namespace": owner.namespace, "name": owner.name,
                }
            },
        }  # fmt: skip


def _refused_port(
    served: Served, owner: Key, number: int, path: str, complaint: str
) -> InternalError | Invalid:
    if path == HEALTH_CHECK:
        says = f"failed to allocate requested HealthCheck NodePort {number}: {complaint}"
        text = f"Internal error occurred: {says}"
        return InternalError(text, details={"causes": [{"message": says}]})
    return Invalid.of(served.id, owner.name, [FieldError("Invalid", path, number, complaint)])


def _parent(item: Item) -> Key:
    ref = (item.decode().get("spec") or {}).get("parentRef") or {}
    return Key(ref.get("namespace", ""), ref.get("name", ""))


def _ports_of(item: Item) -> Iterable[int]:
    spec = item.decode()["spec"]
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            yield port["nodePort"]
    if spec.get("healthCheckNodePort"):
        yield spec["healthCheckNodePort"]


def _ready(cidr: Json) -> bool:
    """A range without conditions is new and counts; one that goes away does not."""
    if cidr["metadata"].get("deletionTimestamp"):
        return False
    conditions = (cidr.get("status") or {}).get("conditions") or ()
    return all(c.get("status") == "True" for c in conditions if c.get("type") == "Ready")


def _nameless(served: Served, needs: Needs, ip: str) -> Invalid:
    """An address is recorded with its owner's name, so that is where a missing one shows."""
    text = (
        f'failed to allocate IP: IPAddress.networking.k8s.io "{ip}" is invalid: '
        "spec.parentRef.name: Required value"
    )
    error = FieldError("Invalid", "spec.clusterIPs", list(needs.ips), text)
    return Invalid.of(served.id, "", [error])
