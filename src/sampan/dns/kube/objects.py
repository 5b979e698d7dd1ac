"""Kubernetes objects cut down to what DNS needs: plain tuples that travel between processes.

The watching half makes rows out of JSON, the answering half keeps them; `marshal` carries them,
as both are the same interpreter.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from sampan.api.meta import Json

SERVICE_NAME = "kubernetes.io/service-name"
IMPORT_NAME = "multicluster.kubernetes.io/service-name"
SOURCE_CLUSTER = "multicluster.kubernetes.io/source-cluster"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
MAX_LABEL = 63


class Port(NamedTuple):
    """Names and protocols in lower case, as they are compared; -1 = no port at all."""

    name: str
    protocol: str
    number: int


class Service(NamedTuple):
    namespace: str
    name: str
    type: str
    ips: tuple[str, ...]
    """Cluster addresses; `None` alone is headless."""
    ports: tuple[Port, ...]
    external_name: str = ""
    external_ips: tuple[str, ...] = ()

    @property
    def headless(self) -> bool:
        return self.ips[:1] == ("None",)


class Endpoint(NamedTuple):
    """A ready address."""

    ip: str
    hostname: str = ""
    target: str = ""
    zone: str = ""


class Slice(NamedTuple):
    namespace: str
    name: str
    service: str
    cluster: str
    endpoints: tuple[Endpoint, ...]
    ports: tuple[Port, ...]


class Pod(NamedTuple):
    namespace: str
    name: str
    ip: str
    labels: tuple[tuple[str, str], ...] = ()
    leaving: bool = False


class Import(NamedTuple):
    """A multicluster ServiceImport."""

    namespace: str
    name: str
    type: str
    ips: tuple[str, ...]
    ports: tuple[Port, ...]

    @property
    def headless(self) -> bool:
        return self.type == "Headless"


def namespace_row(obj: Json) -> tuple[str]:
    return (obj["metadata"]["name"],)


def service_row(obj: Json) -> Service:
    meta, spec = obj["metadata"], obj.get("spec") or {}
    ips = tuple(spec.get("clusterIPs") or ()) or (
        (spec["clusterIP"],) if spec.get("clusterIP") else ()
    )
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    balanced = tuple(item.get("ip") or item.get("hostname") or "" for item in ingress)
    ports = tuple(_port(item, "TCP") for item in spec.get("ports") or ())
    return Service(
        sys.intern(meta["namespace"]), meta["name"], spec.get("type") or "ClusterIP", ips,
        ports or (Port("", "", -1),), spec.get("externalName") or "",
        (*(spec.get("externalIPs") or ()), *balanced),
    )  # fmt: skip


def slice_row(obj: Json) -> Slice:
    return _slice(obj, SERVICE_NAME)


def import_slice_row(obj: Json) -> Slice:
    """The same slice may belong to a Service of this cluster, too, of any name."""
    return _slice(obj, IMPORT_NAME)


def _slice(obj: Json, owner: str) -> Slice:
    """Only ready endpoints; an unknown readiness counts as ready."""
    meta = obj["metadata"]
    labels = meta.get("labels") or {}
    endpoints = tuple(
        Endpoint(
            address, item.get("hostname") or "", _target(item), (item.get("zone") or "").lower()
        )
        for item in obj.get("endpoints") or ()
        if (item.get("conditions") or {}).get("ready") is not False
        for address in item.get("addresses") or ()
    )
    ports = tuple(_port(item, "") for item in obj.get("ports") or ())
    return Slice(
        sys.intern(meta["namespace"]), meta["name"],
        labels.get(owner) or "", labels.get(SOURCE_CLUSTER) or "", endpoints,
        ports or (Port("", "", -1),),
    )  # fmt: skip


def _target(item: Json) -> str:
    """A pod's name where it can be a label."""
    name = (item.get("targetRef") or {}).get("name") or ""
    return name if len(name) <= MAX_LABEL else ""


def _port(item: Json, protocol: str) -> Port:
    number = item.get("port")
    return Port(
        sys.intern((item.get("name") or "").lower()),
        sys.intern((item.get("protocol") or protocol).lower()),
        -1 if number is None else int(number),
    )


def pod_row(obj: Json) -> Pod:
    """A pod that is done, or has no address, has an empty one."""
    meta, status = obj["metadata"], obj.get("status") or {}
    done = status.get("phase") in ("Succeeded", "Failed")
    labels = tuple(sorted((meta.get("labels") or {}).items()))
    ip = "" if done else status.get("podIP") or ""
    leaving = bool(meta.get("deletionTimestamp"))
    return Pod(sys.intern(meta["namespace"]), meta["name"], ip, labels, leaving)


def import_row(obj: Json) -> Import:
    """Ports are taken as they are: without any, an import with addresses has no name."""
    meta, spec = obj["metadata"], obj.get("spec") or {}
    return Import(
        meta["namespace"], meta["name"], spec.get("type") or "ClusterSetIP",
        tuple(spec.get("ips") or ()), tuple(_port(item, "") for item in spec.get("ports") or ()),
    )  # fmt: skip


def plain(value: Any) -> Any:
    """Tuples all the way down: `marshal` takes no subclasses."""
    if not isinstance(value, tuple):
        return value
    return tuple([plain(item) if isinstance(item, tuple) else item for item in value])


def service_of(row: tuple[Any, ...]) -> Service:
    service = Service(*row)
    return service._replace(ports=tuple(Port(*p) for p in service.ports))


def slice_of(row: tuple[Any, ...]) -> Slice:
    namespace, name, service, cluster, endpoints, ports = row
    made = tuple(Endpoint(*e) for e in endpoints)
    return Slice(namespace, name, service, cluster, made, tuple(Port(*p) for p in ports))


def import_of(row: tuple[Any, ...]) -> Import:
    one = Import(*row)
    return one._replace(ports=tuple(Port(*p) for p in one.ports))
