"""Lease: who holds a lock, and until when; also a node's heartbeat."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.rules import Errors


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    spec, errors = new.get("spec") or {}, rules.none()
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        errors += rules.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
    transitions = spec.get("leaseTransitions")
    errors += rules.nonnegative("spec.leaseTransitions", transitions)
    strategy = spec.get("strategy")
    if strategy is not None:
        errors += _strategy(strategy)
    preferred = spec.get("preferredHolder")
    if preferred and not strategy:
        says = "may only be specified if `strategy` is defined"
        errors += rules.forbidden("spec.preferredHolder", says)
    return errors


def _strategy(strategy: str) -> Errors:
    """Election strategies are qualified names; the unqualified ones are Kubernetes' own."""
    if "/" not in strategy:
        if strategy == "OldestEmulationVersion":
            return []
        return rules.not_supported("spec.strategy", strategy, ["OldestEmulationVersion"])
    return rules.each("spec.strategy", strategy, names.qualified_name(strategy))


LEASE = Resource(
    id=kinds.LEASES,
    schema="io.k8s.api.coordination.v1.Lease",
    free_finalizers=True,
    singular="lease",
    validate=validate,
    columns=(
        cells.NAME,
        cells.column("Holder", cells.field("spec", "holderIdentity")),
        cells.AGE,
    ),
    generation=False,
    create_on_update=True,
    unconditional_update=False,
)
