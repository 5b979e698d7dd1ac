"""How many pods each ReplicaSet of a Deployment may have, and what its annotations say. Pure.

Upstream's rules, since people see them: `kubectl rollout` reads the annotations, and the order in
which old pods go decides whether a rollout hurts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from sampan.api.meta import Json
from sampan.controllers.owners import controller_reference
from sampan.controllers.stamps import created

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
ROLLBACK = "deprecated.deployment.rollback.to"
NOT_COPIED = frozenset(
    (
        "kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MAXIMUM,
        ROLLBACK,
    )
)  # fmt: skip
HISTORY_LIMIT = 2000
"""Characters of the history annotation."""
NO_LIMIT = 2**31 - 1


def wanted(obj: Json) -> int:
    """`spec.replicas` with its default."""
    replicas = obj["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def total(replicasets: Iterable[Json]) -> int:
    return sum(wanted(rs) for rs in replicasets)


def count(replicasets: Iterable[Json], field: str) -> int:
    """The sum of one number of the status."""
    return sum(int((rs.get("status") or {}).get(field) or 0) for rs in replicasets)


def active(replicasets: Iterable[Json]) -> list[Json]:
    return [rs for rs in replicasets if wanted(rs) > 0]


def is_rolling(deployment: Json) -> bool:
    kind = (deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate")
    return bool(kind == "RollingUpdate")


def fenceposts(deployment: Json) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as numbers; both zero would stand still, so one may go."""
    if not is_rolling(deployment):
        return 0, 0
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    desired = wanted(deployment)
    surge = scaled(rolling.get("maxSurge", 0), desired, up=True)
    unavailable = scaled(rolling.get("maxUnavailable", 0), desired, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, desired)


def scaled(value: Any, whole: int, *, up: bool) -> int:
    """An int-or-percent of a whole."""
    if isinstance(value, str):
        part = int(value.rstrip("%")) * whole / 100
        return math.ceil(part) if up else math.floor(part)
    return int(value)


def most(deployment: Json) -> int:
    """The most pods that may exist during a rollout."""
    return wanted(deployment) + fenceposts(deployment)[0]


def size_of_new(deployment: Json, everyone: Sequence[Json], new: Json) -> int:
    """How large the new ReplicaSet may be now."""
    desired = wanted(deployment)
    if not is_rolling(deployment):
        return desired
    room = most(deployment) - total(everyone)
    if room <= 0:
        return wanted(new)
    return wanted(new) + min(room, desired - wanted(new))


def unhealthy_first(old: Sequence[Json], budget: int) -> list[tuple[Json, int]]:
    """Take pods that are not available anyway: (ReplicaSet, its new size), oldest first."""
    plan = []
    for rs in sorted(old, key=by_age):
        available = count((rs,), "availableReplicas")
        if budget <= 0:
            break
        if wanted(rs) == 0 or wanted(rs) == available:
            continue
        gone = min(budget, wanted(rs) - available)
        budget -= gone
        plan.append((rs, wanted(rs) - gone))
    return plan


def cleanup_budget(deployment: Json, everyone: Sequence[Json], new: Json) -> int:
    """How many old pods could go if none of them were available."""
    least = wanted(deployment) - fenceposts(deployment)[1]
    new_unavailable = wanted(new) - count((new,), "availableReplicas")
    return total(everyone) - least - new_unavailable


def scale_down_old(
    deployment: Json, everyone: Sequence[Json], old: Sequence[Json]
) -> list[tuple[Json, int]]:
    """Take available old pods as far as maxUnavailable allows, oldest ReplicaSet first."""
    least = wanted(deployment) - fenceposts(deployment)[1]
    budget = count(everyone, "availableReplicas") - least
    plan = []
    for rs in sorted(old, key=by_age):
        if budget <= 0:
            break
        gone = min(wanted(rs), budget)
        if gone:
            budget -= gone
            plan.append((rs, wanted(rs) - gone))
    return plan


def is_scaling(deployment: Json, everyone: Iterable[Json]) -> bool:
    """Whether `spec.replicas` changed since the ReplicaSets were sized."""
    for rs in active(everyone):
        known = number(rs, DESIRED)
        if known is not None and known != wanted(deployment):
            return True
    return False


def is_saturated(deployment: Json, rs: Json | None) -> bool:
    if rs is None:
        return False
    desired = wanted(deployment)
    available = count((rs,), "availableReplicas")
    return wanted(rs) == desired == number(rs, DESIRED) == available


def only_one(new: Json | None, old: Sequence[Json]) -> Json | None:
    """The single active ReplicaSet, or the newest where none is active."""
    everyone = [*old, *((new,) if new else ())]
    running = active(everyone)
    if len(running) == 1:
        return running[0]
    if running or not everyone:
        return None
    return new or max(old, key=by_age)


def proportional(deployment: Json, everyone: Sequence[Json]) -> list[tuple[Json, int]]:
    """Share a change of size in the middle of a rollout among the ReplicaSets by their sizes."""
    sharing = active(everyone)
    allowed = most(deployment) if wanted(deployment) > 0 else 0
    missing = allowed - total(sharing)
    # The largest first; of equals the newer when growing, the older when shrinking.
    sharing.sort(key=by_age, reverse=missing > 0)
    sharing.sort(key=wanted, reverse=True)
    added = 0
    plan: list[tuple[Json, int]] = []
    for rs in sharing:
        share = _share(deployment, rs, missing, added) if missing else 0
        added += share
        plan.append((rs, wanted(rs) + share))
    if plan and missing:
        first, size = plan[0]
        plan[0] = (first, max(0, size + missing - added))
    return plan


def _share(deployment: Json, rs: Json, missing: int, added: int) -> int:
    if wanted(rs) == 0 or missing == added:
        return 0
    fraction = _fraction(deployment, rs)
    left = missing - added
    return min(fraction, left) if missing > 0 else max(fraction, left)


def _fraction(deployment: Json, rs: Json) -> int:
    if wanted(deployment) == 0:
        return -wanted(rs)
    before = number(rs, MAXIMUM) or count((deployment,), "replicas")
    if not before:
        return 0
    grown = wanted(rs) * most(deployment) / before
    return int(grown + 0.5) - wanted(rs)


# Annotations and identity.


def number(obj: Json, annotation: str) -> int | None:
    """An annotation as a number; None where it is absent or no number."""
    text = (obj["metadata"].get("annotations") or {}).get(annotation)
    try:
        return int(text) if text else None
    except ValueError:
        return None


def newest_revision(replicasets: Iterable[Json]) -> int:
    return max((number(rs, REVISION) or 0 for rs in replicasets), default=0)


def by_age(rs: Json) -> tuple[float, str]:
    return created(rs), rs["metadata"]["name"]


def by_revision(rs: Json) -> tuple[int, float, str]:
    return number(rs, REVISION) or 0, *by_age(rs)


def current(deployment: Json, replicasets: Sequence[Json]) -> Json | None:
    """The ReplicaSet with the Deployment's template; the oldest of several."""
    template = bare(deployment["spec"]["template"])
    for rs in sorted(replicasets, key=by_age):
        if bare(rs["spec"]["template"]) == template:
            return rs
    return None


def bare(template: Json) -> Json:
    """A template without the hash label, which is ours, and without empty metadata."""
    meta = {
        name: value
        for name, value in (template.get("metadata") or {}).items()
        if value and name in ("labels", "annotations", "finalizers")
    }
    if HASH_LABEL in meta.get("labels", {}):
        meta["labels"] = {k: v for k, v in meta["labels"].items() if k != HASH_LABEL}
    return {"metadata": {k: v for k, v in meta.items() if v}, "spec": template.get("spec")}


def annotations_for(deployment: Json, rs: Json, revision: int, *, exists: bool) -> dict[str, str]:
    """The new ReplicaSet's annotations: the Deployment's own, revision, history, sizes."""
    wished = dict(rs["metadata"].get("annotations") or {})
    notes = deployment["metadata"].get("annotations") or {}
    wished |= {name: value for name, value in notes.items() if name not in NOT_COPIED}
    before = wished.get(REVISION, "")
    if before and not before.isdigit():
        return wished
    if int(before or 0) < revision:
        wished[REVISION] = str(revision)
        if before:
            wished[HISTORY] = _history(wished.get(HISTORY, ""), before)
    if not exists:
        wished |= sizes(deployment)
    return wished


def _history(known: str, revision: str) -> str:
    entries = [entry for entry in known.split(",") if entry]
    entries.append(revision)
    while len(",".join(entries)) > HISTORY_LIMIT:
        entries.pop(0)
    return ",".join(entries)


def sizes(deployment: Json) -> dict[str, str]:
    return {DESIRED: str(wanted(deployment)), MAXIMUM: str(most(deployment))}


def new_replicaset(deployment: Json, hashed: str, owner: Any) -> Json:
    """A ReplicaSet for the Deployment's template, still without size and annotations."""
    meta = deployment["metadata"]
    template = deployment["spec"]["template"]
    labels = {**(template["metadata"].get("labels") or {}), HASH_LABEL: hashed}
    selector = deployment["spec"].get("selector") or {}
    matched = {**(selector.get("matchLabels") or {}), HASH_LABEL: hashed}
    spec: Json = {
        "replicas": 0,
        "selector": {**selector, "matchLabels": matched},
        "template": {**template, "metadata": {**template["metadata"], "labels": labels}},
    }
    if deployment["spec"].get("minReadySeconds"):
        spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
    return {
        "metadata": {
            "name": f"{meta['name']}-{hashed}",
            "namespace": meta["namespace"],
            "labels": labels,
            "ownerReferences": [controller_reference(owner, deployment)],
        },
        "spec": spec,
    }


def to_clean_up(deployment: Json, old: Sequence[Json]) -> list[Json]:
    """Old ReplicaSets beyond the history limit that are empty and settled."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == NO_LIMIT:
        return []
    alive = [rs for rs in old if not rs["metadata"].get("deletionTimestamp")]
    surplus = len(alive) - int(limit)
    if surplus <= 0:
        return []
    return [rs for rs in sorted(alive, key=by_revision)[:surplus] if _is_settled(rs)]


def _is_settled(rs: Json) -> bool:
    observed = (rs.get("status") or {}).get("observedGeneration") or 0
    seen = rs["metadata"].get("generation", 0) <= observed
    return bool(seen and not wanted(rs) and not count((rs,), "replicas"))
