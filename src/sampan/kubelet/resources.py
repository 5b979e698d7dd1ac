"""From requests and limits to what the kernel is told: shares, quotas, bytes, OOM scores."""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api import quantity
from sampan.api.meta import Json
from sampan.kubelet.pods import Role, containers
from sampan.linux.base.processes import Limits

MIN_SHARES, MAX_SHARES = 2, 262144
MIN_QUOTA_US = 1000
PERIOD_US = 100_000
GUARANTEED_OOM, BEST_EFFORT_OOM, MOST_BURSTABLE_OOM = -997, 1000, 999
NODE_CRITICAL = 2_000_001_000 - 1000
"""Priorities from here on are never killed first (system-node-critical is 2000001000)."""


def amount(container: Json, kind: str, resource: str) -> quantity.Quantity | None:
    """One entry of `resources`, parsed."""
    text = ((container.get("resources") or {}).get(kind) or {}).get(resource)
    return None if text is None else quantity.parse_json(text)


def container_limits(container: Json) -> Limits:
    limit = amount(container, "limits", "cpu")
    memory = amount(container, "limits", "memory")
    return Limits(
        cpu_shares=shares(_request(container)),
        cpu_quota_us=quota(limit.milli if limit else 0),
        memory_bytes=memory.value if memory else 0,
    )


def pod_limits(pod: Json, pids: int = 0) -> Limits:
    """Of the whole pod: limits hold only where every container has one."""
    counted = [c for role, c in containers(pod) if role in (Role.APP, Role.SIDECAR)]
    cpu = _limit_sum(pod, counted, "cpu")
    memory = _limit_sum(pod, counted, "memory")
    own = amount(pod["spec"], "requests", "cpu")
    milli = own.milli if own else sum(_request(container) for container in counted)
    return Limits(
        cpu_shares=shares(milli),
        cpu_quota_us=quota(cpu.milli) if cpu else 0,
        memory_bytes=memory.value if memory else 0,
        pids=pids,
    )


def _limit_sum(pod: Json, counted: Iterable[Json], resource: str) -> quantity.Quantity | None:
    own = amount(pod["spec"], "limits", resource)
    if own is not None:
        return own
    total = quantity.Quantity(0)
    for container in counted:
        limit = amount(container, "limits", resource)
        if limit is None:
            return None
        total = total + limit
    return total


def _request(container: Json) -> int:
    """Milli CPUs asked for; a limit without a request is one too."""
    found = amount(container, "requests", "cpu") or amount(container, "limits", "cpu")
    return found.milli if found else 0


def shares(milli: int) -> int:
    return max(MIN_SHARES, min(MAX_SHARES, milli * 1024 // 1000))


def quota(milli: int) -> int:
    return max(MIN_QUOTA_US, milli * PERIOD_US // 1000) if milli else 0


def oom_score_adj(pod: Json, container: Json, qos: str, memory_capacity: int) -> int:
    """Upstream's: guaranteed pods last, best effort first, others by how much they asked for."""
    if int(pod["spec"].get("priority") or 0) >= NODE_CRITICAL or qos == "Guaranteed":
        return GUARANTEED_OOM
    if qos == "BestEffort":
        return BEST_EFFORT_OOM
    asked = amount(container, "requests", "memory")
    score = 1000 - (1000 * (asked.value if asked else 0)) // max(1, memory_capacity)
    return max(1000 + GUARANTEED_OOM, min(MOST_BURSTABLE_OOM, score))
