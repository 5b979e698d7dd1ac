"""The old Endpoints of Services with a selector: all addresses in one object, at most 1000."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sampan.api import kinds
from sampan.api.errors import AlreadyExists, ApiError, Conflict
from sampan.api.meta import Json, Key, key_of
from sampan.controllers import endpoint_pods as facts
from sampan.controllers import port_order
from sampan.controllers.deps import Deps
from sampan.controllers.echo import Echo
from sampan.controllers.pods import is_ready
from sampan.controllers.selecting import Selecting
from sampan.controllers.stamps import stamp
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller, namespace_is_leaving

COMPONENT = "endpoint-controller"
MANAGED_LABEL = "endpoints.kubernetes.io/managed-by"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
LEADER = "control-plane.alpha.kubernetes.io/leader"
MOST = 1000


def endpoints(deps: Deps) -> Component:
    reconciler = Endpoints(deps)
    return Controller(
        reconciler,
        reconciler.queue,
        workers=deps.settings.concurrent,
        wait_for=(
            reconciler.selecting.services, reconciler.selecting.pods, reconciler.objects,
        ),
    )  # fmt: skip


class Endpoints:
    """The reconciler; keys are Services, and the Endpoints of the same name."""

    name = "endpoints"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._client = deps.client_of(COMPONENT)
        self._recorder = deps.recorder(COMPONENT)
        self.objects = deps.informers.of(kinds.ENDPOINTS)
        self.selecting = Selecting(deps, self.queue.add)
        self._echo = Echo(self.objects, deps.clock)
        self._times: dict[Key, facts.TriggerTimes] = {}
        self.objects.on_change(self._object_changed)

    async def reconcile(self, key: Key) -> float | None:
        service = self.selecting.services.get(key)
        existing = self.objects.get(key)
        if service is None:
            self._times.pop(key, None)
            self._echo.forget(key)
            if existing is not None:
                uid = existing["metadata"]["uid"]
                await self._client.delete(kinds.ENDPOINTS, key.name, key.namespace, uid=uid)
            return None
        if not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
            return None
        if not self._echo.settled(key):
            return 1.0  # its own last write is not in the cache yet; it will wake it
        pods = self.selecting.pods_of(service)
        times = self._times.setdefault(key, facts.TriggerTimes())
        since = times.next(service, {pod["metadata"]["name"]: pod for pod in pods})
        wished = endpoints_for(service, pods)
        if existing is not None and _same(existing, wished):
            return None
        await self._write(key, existing, wished, since)
        return None

    async def _write(
        self, key: Key, existing: Json | None, wished: Json, since: float | None
    ) -> None:
        meta = {**(existing["metadata"] if existing else {}), **wished["metadata"]}
        kept = (existing or {}).get("metadata", {}).get("annotations") or {}
        notes = {k: v for k, v in kept.items() if k not in (facts.TRIGGER_TIME, OVER_CAPACITY)}
        notes |= wished["metadata"].get("annotations") or {}
        if since is not None:
            notes[facts.TRIGGER_TIME] = stamp(since)
        full = {"metadata": {**meta, "annotations": notes}, "subsets": wished["subsets"]}
        try:
            if existing is not None:
                self._echo.wrote(key, await self._client.update(kinds.ENDPOINTS, full))
            else:
                self._echo.wrote(key, await self._client.create(kinds.ENDPOINTS, full))
        except (AlreadyExists, Conflict):
            raise  # changed by hand this moment; the cache will show it
        except ApiError as error:
            if namespace_is_leaving(error):
                return
            self._tell_failure(key, full, error, created=existing is None)
            raise

    def _tell_failure(self, key: Key, wished: Json, error: ApiError, *, created: bool) -> None:
        about = {**wished, "apiVersion": "v1", "kind": "Endpoints"}
        reason = "FailedToCreateEndpoint" if created else "FailedToUpdateEndpoint"
        what = "create endpoint for service" if created else "update endpoint"
        self._recorder.event(about, "Warning", reason, f"Failed to {what} {key}: {error}")

    def _object_changed(self, old: Json | None, new: Json | None) -> None:
        """Endpoints without a Service are somebody's own, unless the Service went while nobody
        looked: those that are there at the start are looked at. What somebody changes in one by
        hand stays until its Service or a pod changes, as with upstream.
        """
        if old is not None and new is not None:
            return
        key = key_of(new or old or {})
        if self.selecting.services.get(key) is None:
            notes = (new or {}).get("metadata", {}).get("annotations") or {}
            if self.objects.synced.is_set() or LEADER in notes:
                return
        self.queue.add(key)


def endpoints_for(service: Json, pods: Sequence[Json]) -> Json:
    """Metadata and subsets as they should be."""
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    family = facts.families(service)[0]
    by_port: dict[tuple[object, ...], dict[str, tuple[Json, bool]]] = {}
    ports: dict[tuple[object, ...], Json | None] = {}
    for pod in pods:
        ip = facts.address_of(pod, family)
        if ip is None or not facts.has_place(pod, terminating=publish):
            continue
        address = _address(service, pod, ip)
        ready = publish or is_ready(pod)
        for port in _ports(service, pod):
            key = tuple(sorted(port.items())) if port else ()
            ports[key] = port
            by_port.setdefault(key, {})[ip] = (address, ready)
    meta: Json = {
        "name": service["metadata"]["name"],
        "namespace": service["metadata"]["namespace"],
        "labels": _labels(service),
    }
    subsets = _packed(by_port, ports)
    if _cut(subsets):
        meta["annotations"] = {OVER_CAPACITY: "truncated"}
    return {"metadata": meta, "subsets": subsets}


def _packed(
    by_port: dict[tuple[object, ...], dict[str, tuple[Json, bool]]],
    ports: dict[tuple[object, ...], Json | None],
) -> list[Json]:
    """Ports that share all their addresses share a subset."""
    groups: dict[tuple[tuple[str, bool], ...], list[tuple[object, ...]]] = {}
    for key, members in by_port.items():
        shape = tuple(sorted((ip, ready) for ip, (_, ready) in members.items()))
        groups.setdefault(shape, []).append(key)
    subsets = []
    for shape, keys in groups.items():
        members = by_port[keys[0]]
        subset: Json = {}
        ready = [members[ip][0] for ip, is_up in shape if is_up]
        waiting = [members[ip][0] for ip, is_up in shape if not is_up]
        if ready:
            subset["addresses"] = ready
        if waiting:
            subset["notReadyAddresses"] = waiting
        listed = [port for key in keys if (port := ports[key]) is not None]
        if listed:
            subset["ports"] = port_order.of_endpoints(listed)
        subsets.append(subset)
    return subsets


def _ports(service: Json, pod: Json) -> list[Json | None]:
    """The ports of this pod; [None] for a headless Service without any."""
    if not service["spec"].get("ports"):
        return [None] if facts.is_headless(service) else []
    return [
        {name: value for name, value in port.items() if value != ""}
        for port in facts.ports(service, pod)
    ]


def _address(service: Json, pod: Json, ip: str) -> Json:
    address: Json = {"ip": ip, "targetRef": facts.target_reference(pod)}
    if pod["spec"].get("nodeName"):
        address["nodeName"] = pod["spec"]["nodeName"]
    host = facts.hostname(service, pod)
    if host:
        address["hostname"] = host
    return address


def _labels(service: Json) -> dict[str, str]:
    labels = dict(service["metadata"].get("labels") or {})
    labels.pop(facts.HEADLESS_LABEL, None)
    if facts.is_headless(service):
        labels[facts.HEADLESS_LABEL] = ""
    labels[MANAGED_LABEL] = COMPONENT
    return labels


def _cut(subsets: Sequence[Json]) -> bool:
    """Down to the most, ready addresses first, each subset in proportion. Whether it was needed."""
    ready, waiting = (_count(subsets, field) for field in ("addresses", "notReadyAddresses"))
    if ready + waiting <= MOST:
        return False
    field, total, room = "notReadyAddresses", waiting, MOST - ready
    if ready > MOST:
        field, total, room = "addresses", ready, MOST
    left = room
    for subset in subsets:
        mine = subset.get(field) or []
        kept = mine[: min(left, math.ceil(len(mine) / total * room))]
        left -= len(kept)
        if field == "addresses":
            subset.pop("notReadyAddresses", None)
        subset.pop(field, None)
        if kept:
            subset[field] = kept
    return True


def _count(subsets: Sequence[Json], field: str) -> int:
    return sum(len(subset.get(field) or ()) for subset in subsets)


def _same(existing: Json, wished: Json) -> bool:
    def shape(obj: Json) -> Sequence[object]:
        return sorted(
            (
                sorted((a["ip"], str(sorted(a.items(), key=str))) for a in s.get(field) or ()),
                field,
                sorted(str(sorted(p.items())) for p in s.get("ports") or ()),
            )
            for s in obj.get("subsets") or ()
            for field in ("addresses", "notReadyAddresses")
        )

    truncated = OVER_CAPACITY in (existing["metadata"].get("annotations") or {})
    wants = OVER_CAPACITY in (wished["metadata"].get("annotations") or {})
    same_labels = (existing["metadata"].get("labels") or {}) == wished["metadata"]["labels"]
    if not same_labels or truncated != wants:
        return False
    subsets = existing.get("subsets") or []
    return bool(subsets == wished["subsets"]) or shape(existing) == shape(wished)
