"""Which names a definition gets, and whether it is established: its status, from its spec and the
other definitions of its group.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api.meta import Json
from sampan.resources.apiextensions import crd

_FIELDS = ("plural", "singular", "shortNames", "kind", "listKind")
_NOTHING: Json = {"shortNames": []}


def status(definition: Json, others: Iterable[Json], now: str) -> Json:
    """The whole status. A name that another definition of the group has accepted is not taken."""
    spec = definition["spec"]
    before: Json = definition.get("status") or {}
    rivals = [
        each
        for each in others
        if each["metadata"]["name"] != definition["metadata"]["name"]
        and each["spec"]["group"] == spec["group"]
    ]
    accepted, conflict = _accept(spec["names"], before.get("acceptedNames") or {}, rivals)
    conditions = {each["type"]: each for each in before.get("conditions") or ()}
    fine = conflict is None
    told = ("False", *conflict) if conflict else ("True", "NoConflicts", "no conflicts found")
    _set(conditions, "NamesAccepted", told, now)
    if fine:
        told = ("True", "InitialNamesAccepted", "the initial names have been accepted")
        _set(conditions, "Established", told, now)
    elif "Established" not in conditions:
        told = ("False", "NotAccepted", "not all names are accepted")
        _set(conditions, "Established", told, now)
    _approval(definition, conditions, now)
    return {**before, "conditions": list(conditions.values()), "acceptedNames": accepted}


def _accept(wanted: Json, had: Json, rivals: Iterable[Json]) -> tuple[Json, tuple[str, str] | None]:
    """The names that are free, old ones where they are not, and what was in the way."""
    names, plain = set[str](), set[str]()
    for rival in rivals:
        taken = (rival.get("status") or {}).get("acceptedNames") or {}
        names |= {taken.get("plural", ""), taken.get("singular", "")}
        names |= set(taken.get("shortNames") or ())
        plain |= {taken.get("kind", ""), taken.get("listKind", "")}
    accepted: Json = {}
    conflict: tuple[str, str] | None = None
    for field in _FIELDS:
        value = wanted.get(field) or _NOTHING.get(field, "")
        rivalry = plain if field in ("kind", "listKind") else names
        clash = sorted(set([value] if isinstance(value, str) else value) & rivalry - {""})
        if clash:
            # Every one is looked at, and the last one in the way is told.
            listed = ", ".join(f'"{name}" is already in use' for name in clash)
            conflict = (f"{field[:1].upper()}{field[1:]}Conflict", listed)
            value = had.get(field) or _NOTHING.get(field, "")
        if value or field in ("plural", "kind"):
            accepted[field] = value
    if wanted.get("categories"):
        accepted["categories"] = list(wanted["categories"])
    return accepted, conflict


def _set(conditions: dict[str, Json], kind: str, told: tuple[str, str, str], now: str) -> None:
    state, reason, message = told
    before = conditions.get(kind)
    since = before["lastTransitionTime"] if before and before["status"] == state else now
    conditions[kind] = {
        "type": kind,
        "status": state,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }


def _approval(definition: Json, conditions: dict[str, Json], now: str) -> None:
    """Kubernetes' own groups say whether they were reviewed."""
    if not crd.is_protected(definition["spec"]["group"]):
        return
    state, told = crd.approval(definition)
    see = "see https://github.com/kubernetes/enhancements/pull/1111"
    says = f'protected groups must have approval annotation "{crd.APPROVED}"'
    answers = {
        "approved": ("True", "ApprovedAnnotation", f"approved in {told}"),
        "bypassed": ("False", "UnapprovedAnnotation", f"not approved: {told}"),
        "missing": ("False", "MissingAnnotation", f"{says}, {see}"),
        "bad": ("False", "InvalidAnnotation", f"{says} with a URL or a reason, {see}"),
    }
    _set(conditions, "KubernetesAPIApprovalPolicyConformant", answers[state], now)
