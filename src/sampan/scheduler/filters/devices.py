"""Claims of devices: allocated ones must be usable from the node, the others find none (Sampan
allocates no devices itself).
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api.meta import Json
from sampan.scheduler import terms
from sampan.scheduler.base import NO_SAY, Prepared, Rejected
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState

_ELSEWHERE = Rejected(("resourceclaim not available on the node",), final=True)
_NONE = Rejected(("cannot allocate all claims",), final=True)


def devices(pod: PodView, cluster: ClusterState) -> Prepared:
    if not pod.spec.get("resourceClaims"):
        return NO_SAY
    claims, why = cluster.devices.claims_of(pod)
    if why:
        return Prepared(refusal=why)
    allocations = [(claim.get("status") or {}).get("allocation") for claim in claims]
    for claim, allocation in zip(claims, allocations, strict=True):
        why = _unknown_class(claim, cluster) if allocation is None else ""
        if why:
            return Prepared(refusal=why)
    selectors = [a["nodeSelector"] for a in allocations if a and a.get("nodeSelector")]
    wanted = [terms.node_terms(selector) for selector in selectors]

    def check(node: NodeState) -> Rejected | None:
        if any(not any(t.matches(node.name, node.labels) for t in several) for several in wanted):
            return _ELSEWHERE
        return None if None not in allocations else _NONE

    return Prepared(check)


def _unknown_class(claim: Json, cluster: ClusterState) -> str:
    for request in (claim["spec"].get("devices") or {}).get("requests") or ():
        for name, kind in _classes(request):
            if cluster.devices.device_class(kind) is None:
                return f"request {name}: device class {kind} does not exist"
    return ""


def _classes(request: Json) -> Iterable[tuple[str, str]]:
    """(name of the request, its class): several where the first available one is wanted."""
    if request.get("exactly"):
        yield request["name"], request["exactly"]["deviceClassName"]
    for one in request.get("firstAvailable") or ():
        yield f"{request['name']}/{one['name']}", one["deviceClassName"]
