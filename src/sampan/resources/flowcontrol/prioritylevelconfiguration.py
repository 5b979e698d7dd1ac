"""PriorityLevelConfiguration: how many requests may run at once, and how the rest queue."""

from __future__ import annotations

import math
from typing import Any

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource, Subresource
from sampan.resources import cells, rules
from sampan.resources.flowcontrol.flowschema import EXEMPT, conditions
from sampan.resources.rules import Errors

USUAL_SHARES = 30
MAX_QUEUES = 10 * 1000 * 1000
MAX_HASH_BITS = 60
_QUEUING = {"queues": 64, "handSize": 8, "queueLengthLimit": 50}


def defaults(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    exempt, limited = spec.get("exempt"), spec.get("limited")
    if spec.get("type") == "Exempt" and exempt is None:
        spec["exempt"] = exempt = {}
    if exempt is not None:
        exempt.setdefault("nominalConcurrencyShares", 0)
        exempt.setdefault("lendablePercent", 0)
    if limited is not None:
        if limited.get("nominalConcurrencyShares") is None:
            limited["nominalConcurrencyShares"] = USUAL_SHARES
        limited.setdefault("lendablePercent", 0)
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            for field, value in _QUEUING.items():
                if not queuing.get(field):
                    queuing[field] = value


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return conditions(new)
    spec, name = new.get("spec") or {}, new["metadata"].get("name", "")
    kind, exempt, limited = spec.get("type", ""), spec.get("exempt"), spec.get("limited")
    errors: Errors = []
    if (name == EXEMPT) != (kind == "Exempt"):
        says = "must be 'Exempt' if and only if `name` is 'exempt'"
        errors += rules.invalid("spec.type", kind, says)
    if kind == "Exempt":
        if limited is not None:
            says = "must be nil if the type is not Limited"
            errors += rules.forbidden("spec.limited", says)
        return errors + _shares("spec.exempt", exempt or {})
    if kind != "Limited":
        return errors + rules.not_supported("spec.type", kind, ["Exempt", "Limited"])
    if exempt is not None:
        errors += rules.forbidden("spec.exempt", "must be nil if the type is Limited")
    if limited is None:
        return errors + rules.required("spec.limited", "must not be empty when type is Limited")
    return errors + _limited("spec.limited", limited)


def _shares(path: str, level: Json) -> Errors:
    shares, percent = level.get("nominalConcurrencyShares", 0), level.get("lendablePercent", 0)
    errors: Errors = []
    if shares < 0:
        says = "must be a non-negative integer"
        errors += rules.invalid(f"{path}.nominalConcurrencyShares", shares, says)
    if not 0 <= percent <= 100:
        says = "must be between 0 and 100, inclusive"
        errors += rules.invalid(f"{path}.lendablePercent", percent, says)
    return errors


def _limited(path: str, limited: Json) -> Errors:
    errors = _shares(path, limited)
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        says = "if specified, must be a non-negative integer"
        errors += rules.invalid(f"{path}.borrowingLimitPercent", borrowing, says)
    response = limited.get("limitResponse") or {}
    kind, queuing, here = response.get("type", ""), response.get("queuing"), f"{path}.limitResponse"
    if kind == "Reject":
        if queuing is not None:
            says = "must be nil if limited.limitResponse.type is not Limited"
            errors += rules.forbidden(f"{here}.queuing", says)
        return errors
    if kind != "Queue":
        return errors + rules.not_supported(f"{here}.type", kind, ["Queue", "Reject"])
    if queuing is None:
        says = "must not be empty if limited.limitResponse.type is Limited"
        return errors + rules.required(f"{here}.queuing", says)
    return errors + _queuing(f"{here}.queuing", queuing)


def _queuing(path: str, queuing: Json) -> Errors:
    queues, hand = queuing.get("queues", 0), queuing.get("handSize", 0)
    errors: Errors = []
    for field in ("queueLengthLimit", "queues", "handSize"):
        if queuing.get(field, 0) <= 0:
            errors += rules.invalid(f"{path}.{field}", queuing.get(field, 0), "must be positive")
    if queues > MAX_QUEUES:
        says = f"must not be greater than {MAX_QUEUES}"
        errors += rules.invalid(f"{path}.queues", queues, says)
    elif hand > queues:
        says = f"should not be greater than queues ({queues})"
        errors += rules.invalid(f"{path}.handSize", hand, says)
    elif hand > 0 and _entropy_bits(queues, hand) > MAX_HASH_BITS:
        says = (
            f"required entropy bits of deckSize {queues} and handSize {hand} should not be "
            f"greater than {MAX_HASH_BITS}"
        )
        errors += rules.invalid(f"{path}.handSize", hand, says)
    return errors


def _entropy_bits(deck: int, hand: int) -> int:
    """What shuffle sharding needs of a hash."""
    return math.ceil(sum(math.log2(deck - dealt) for dealt in range(hand)))


def _shares_cell(obj: Json) -> Any:
    spec = obj["spec"]
    level = spec.get("limited") or spec.get("exempt") or {}
    return level.get("nominalConcurrencyShares", cells.NONE)


def _queuing_cell(field: str) -> cells.Value:
    return cells.field("spec", "limited", "limitResponse", "queuing", field, default=cells.NONE)


PRIORITYLEVELCONFIGURATION = Resource(
    id=kinds.PRIORITYLEVELCONFIGURATIONS,
    schema="io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
    singular="prioritylevelconfiguration",
    metadata_checks="whole",
    status_metadata_checks="none",
    status_keeps=("*",),
    defaults=defaults,
    validate=validate,
    columns=(
        cells.NAME,
        cells.column("Type", cells.field("spec", "type")),
        cells.column("NominalConcurrencyShares", _shares_cell),
        cells.column("Queues", _queuing_cell("queues")),
        cells.column("HandSize", _queuing_cell("handSize")),
        cells.column("QueueLengthLimit", _queuing_cell("queueLengthLimit")),
        cells.AGE,
    ),
    subresources=(Subresource("status", kinds.PRIORITYLEVELCONFIGURATIONS),),
)
