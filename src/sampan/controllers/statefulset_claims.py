"""Who owns the claims of a StatefulSet's pods: by the retention policy they go with the set, with a
pod that is scaled away, with either, or with nobody. Pure.
"""

from __future__ import annotations

from sampan.api.kinds import PODS, STATEFULSETS
from sampan.api.meta import Json, ResourceId
from sampan.controllers import statefulset_pods as members
from sampan.controllers.owners import controller_reference


def owners_for(statefulset: Json, pod: Json, claim: Json) -> list[Json] | None:
    """The owner references that the claim should have; None where they are right, or somebody
    else's by now.
    """
    present: list[Json] = claim["metadata"].get("ownerReferences") or []
    if _is_stale(present, statefulset, STATEFULSETS) or _is_stale(present, pod, PODS):
        return None  # it goes with an owner that is gone; a new one is made
    ours = [r for r in present if _names(r, statefulset, STATEFULSETS) or _names(r, pod, PODS)]
    others = [reference for reference in present if reference not in ours]
    if has_other_controller(statefulset, pod, claim):
        return others if ours else None
    wanted = _wanted(statefulset, pod)
    same = [_shape(reference) for reference in ours] == [_shape(r) for r in wanted]
    return None if same else [*others, *wanted]


def has_other_controller(statefulset: Json, pod: Json, claim: Json) -> bool:
    """Whether somebody else manages a claim that we were to manage."""
    if policy_of(statefulset) == ("Retain", "Retain"):
        return False
    mine = {statefulset["metadata"]["uid"], pod["metadata"].get("uid")}
    return any(
        reference.get("controller") and reference["uid"] not in mine
        for reference in claim["metadata"].get("ownerReferences") or ()
    )


def policy_of(statefulset: Json) -> tuple[str, str]:
    """(whenScaled, whenDeleted)."""
    policy = statefulset["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return policy.get("whenScaled") or "Retain", policy.get("whenDeleted") or "Retain"


def _wanted(statefulset: Json, pod: Json) -> list[Json]:
    scaled, deleted = policy_of(statefulset)
    if scaled == "Delete" and _is_scaled_away(statefulset, pod):
        return [controller_reference(PODS, pod)]
    return [controller_reference(STATEFULSETS, statefulset)] if deleted == "Delete" else []


def _is_scaled_away(statefulset: Json, pod: Json) -> bool:
    first = members.first_ordinal(statefulset)
    wanted = statefulset["spec"].get("replicas")
    count = 1 if wanted is None else int(wanted)
    ordinal = members.ordinal_of(statefulset, pod)
    return ordinal is None or not first <= ordinal < first + count


def _names(reference: Json, owner: Json, rid: ResourceId) -> bool:
    return (reference.get("apiVersion"), reference.get("kind"), reference.get("name")) == (
        rid.api_version,
        rid.kind,
        owner["metadata"]["name"],
    )


def _is_stale(present: list[Json], owner: Json, rid: ResourceId) -> bool:
    return any(
        _names(reference, owner, rid) and reference["uid"] != owner["metadata"].get("uid")
        for reference in present
    )


def _shape(reference: Json) -> tuple[str, bool]:
    return reference["uid"], bool(reference.get("controller"))
