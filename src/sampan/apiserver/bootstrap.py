"""What a cluster holds before anyone creates anything, and what every start makes sure of.

The objects come from the facts tables; they are stored in one transaction, which is one disk flush.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sampan.api import facts
from sampan.api.meta import Json
from sampan.apiserver.cacher.item import value_of
from sampan.apiserver.dangling import condition
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.metadata import fill
from sampan.apiserver.served import Catalog, Served
from sampan.resources.apiregistration.apiservice import local_condition
from sampan.std import log
from sampan.store.base import Compare, Put, StoreFailed

_log = log.get("apiserver")

OWN = frozenset({"services", "ipaddresses", "servicecidrs"})
"""Kinds whose initial objects depend on the flags; made below."""
DOWNSTREAM = "system:openshift:"
"""Roles that the binary behind the tables was patched with; no upstream server has them."""
KUBERNETES = {"name": "kubernetes", "namespace": "default"}
ADDED_TO_ROLES = ("clusterroles", "roles")
KEEP_EVERY_S = 10.0
KEPT = frozenset({
    ("", "namespaces"), ("", "services"), ("", "endpoints"),
    ("discovery.k8s.io", "endpointslices"), ("networking.k8s.io", "ipaddresses"),
    ("networking.k8s.io", "servicecidrs"),
})  # fmt: skip
RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the flags say about the cluster."""

    service_ranges: tuple[str, ...]
    kubernetes_ips: tuple[str, ...]
    """The first address of each range."""
    endpoint_ips: tuple[str, ...]
    endpoint_port: int
    client_ca: str = ""
    front_proxy_ca: str = ""
    """By which servers behind us check the certificate that we pass requests on with."""


async def bootstrap(parts: Parts, catalog: Catalog, cluster: Cluster) -> None:
    """Make what is missing; default roles get rules that they lack."""
    await _ensure(parts, _wanted(catalog, cluster))


class Kept:
    """What no cluster can do without comes back when somebody deletes or changes it: the Service
    `kubernetes`, the way to this server behind it, and the system's namespaces.
    """

    def __init__(self, parts: Parts, catalog: Catalog, cluster: Cluster) -> None:
        self._parts = parts
        self._catalog = catalog
        self._cluster = cluster

    async def run(self) -> None:
        while True:
            await self._parts.clock.sleep(KEEP_EVERY_S)
            await self.restore()

    async def restore(self) -> None:
        wanted = [
            (served, obj)
            for served, obj in _wanted(self._catalog, self._cluster)
            if (served.id.group, served.id.plural) in KEPT
        ]
        try:
            await _ensure(self._parts, wanted)
        except StoreFailed as error:
            _log.error("the service kubernetes could not be kept", exc=error)


async def _ensure(parts: Parts, wanted: Iterable[tuple[Served, Json]]) -> None:
    puts: list[tuple[str, int, bytes]] = []
    for served, obj in wanted:
        meta = obj["metadata"]
        namespace, name = meta.get("namespace", ""), meta["name"]
        item = served.collection.get(namespace, name)
        if item is None:
            new = made(parts, served, obj)
            puts.append((served.key(namespace, name), 0, value_of(new)))
            continue
        current = served.current(item)
        if _reconcile(served, current, obj):
            puts.append((served.key(namespace, name), item.revision, value_of(current)))
    if puts:
        outcome = await parts.store.txn(
            [Compare(key, revision) for key, revision, _ in puts],
            [Put(key, value) for key, _, value in puts],
        )
        await parts.cacher.wait_for(outcome.revision)


def made(parts: Parts, served: Served, obj: Json) -> Json:
    """A new object as the server itself makes it."""
    new = served.decode(obj).obj
    new["kind"], new["apiVersion"] = served.id.kind, served.id.api_version
    fill(new, parts.new_uid(), parts.timestamp())
    served.resource.prepare(new, None, "")
    if served.resource.generation:
        new["metadata"]["generation"] = 1
    if served.id.plural == "apiservices":
        new["status"] = {"conditions": [local_condition(parts.timestamp())]}
    if served.id.plural == "flowschemas":
        level = new["spec"]["priorityLevelConfiguration"]["name"]
        new["status"] = {"conditions": [condition(level, parts.timestamp(), found=True)]}
    return new


def _reconcile(served: Served, current: Json, wanted: Json) -> bool:
    """Bring an existing object up to date; whether it changed."""
    rid = served.id
    if rid.group == RBAC and rid.plural in ADDED_TO_ROLES:
        held = current.get("rules") or []
        missing = [rule for rule in wanted.get("rules") or () if rule not in held]
        if missing and "aggregationRule" not in current and _automatic(current):
            current["rules"] = [*held, *missing]
            return True
    if rid.plural in ("endpoints", "endpointslices"):
        before = {key: current.get(key) for key in ("subsets", "endpoints", "ports")}
        current.update({key: value for key, value in wanted.items() if key != "metadata"})
        return before != {key: current.get(key) for key in ("subsets", "endpoints", "ports")}
    return False


def _automatic(role: Json) -> bool:
    notes = role["metadata"].get("annotations") or {}
    return bool(notes.get("rbac.authorization.kubernetes.io/autoupdate") == "true")


def _wanted(catalog: Catalog, cluster: Cluster) -> Iterator[tuple[Served, Json]]:
    for path, objects in facts.load("initial-objects").items():
        parts = path.strip("/").split("/")
        group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
        served = catalog.find(group, version, parts[-1])
        if served is None or parts[-1] in OWN:
            continue
        for obj in objects:
            if not obj["metadata"]["name"].startswith(DOWNSTREAM):
                yield served, obj
    for (group, version, plural), obj in _own_objects(cluster):
        served = catalog.find(group, version, plural)
        if served is not None:
            yield served, obj


Place = tuple[str, str, str]
"""Group, version, plural."""


def _own_objects(cluster: Cluster) -> Iterator[tuple[Place, Json]]:
    """What depends on the flags: the Service `kubernetes` and all that belongs to it."""
    ip = cluster.kubernetes_ips[0]
    family = "IPv6" if ":" in ip else "IPv4"
    yield ("", "v1", "services"), _service(ip, family, cluster.endpoint_port)
    yield from _endpoints(cluster, family)
    yield ("networking.k8s.io", "v1", "servicecidrs"), {
        "metadata": {"name": "kubernetes"}, "spec": {"cidrs": list(cluster.service_ranges)},
    }  # fmt: skip
    labels = {
        "ipaddress.kubernetes.io/ip-family": family,
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }
    yield (
        ("networking.k8s.io", "v1", "ipaddresses"),
        {
            "metadata": {"name": ip, "labels": labels},
            "spec": {"parentRef": {"resource": "services", **KUBERNETES}},
        },
    )
    if cluster.client_ca:
        yield (
            ("", "v1", "configmaps"),
            {
                "metadata": {
                    "name": "extension-apiserver-authentication",
                    "namespace": "kube-system",
                },
                "data": {"client-ca-file": cluster.client_ca, **_front_proxy(cluster)},
            },
        )


def _front_proxy(cluster: Cluster) -> Json:
    """How a server behind us tells a request that we passed on."""
    if not cluster.front_proxy_ca:
        return {}
    return {
        "requestheader-client-ca-file": cluster.front_proxy_ca,
        "requestheader-allowed-names": '["front-proxy-client"]',
        "requestheader-username-headers": '["X-Remote-User"]',
        "requestheader-uid-headers": '["X-Remote-Uid"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
    }


def _service(ip: str, family: str, port: int) -> Json:
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]
    labels = {"component": "apiserver", "provider": "kubernetes"}
    return {
        "metadata": {**KUBERNETES, "labels": labels},
        "spec": {
            "type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "ipFamilies": [family],
            "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster", "ports": ports,
        },
    }  # fmt: skip


def _endpoints(cluster: Cluster, family: str) -> Iterator[tuple[Place, Json]]:
    """Where the servers are, in both forms."""
    ports = [{"name": "https", "port": cluster.endpoint_port, "protocol": "TCP"}]
    same = [ip for ip in cluster.endpoint_ips if (":" in ip) == (family == "IPv6")]
    mirror = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    yield (
        ("", "v1", "endpoints"),
        {
            "metadata": {**KUBERNETES, "labels": mirror},
            "subsets": [{"addresses": [{"ip": ip} for ip in same], "ports": ports}],
        },
    )
    yield (
        ("discovery.k8s.io", "v1", "endpointslices"),
        {
            "metadata": {**KUBERNETES, "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": family,
            "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in same],
            "ports": ports,
        },
    )
