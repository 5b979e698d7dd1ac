"""How fast an autoscaler may scale up and down: defaults and rules."""

from __future__ import annotations

import copy

from sampan.api import quantity
from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.rules import Errors

MAX_PERIOD_S = 1800
MAX_WINDOW_S = 3600

_UP: Json = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_DOWN: Json = {
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}
_SELECT = ["Disabled", "Max", "Min"]
_POLICIES = ["Percent", "Pods"]


def defaults(behavior: Json | None) -> None:
    """A behavior that says something about one direction gets the usual for the rest."""
    if behavior is None:
        return
    for direction, usual in (("scaleUp", _UP), ("scaleDown", _DOWN)):
        asked = behavior.get(direction) or {}
        behavior[direction] = copy.deepcopy(usual) | asked


def validate(behavior: Json | None, path: str) -> Errors:
    errors: Errors = []
    for direction in ("scaleUp", "scaleDown"):
        asked = (behavior or {}).get(direction)
        if asked is not None:
            errors += _direction(asked, f"{path}.{direction}")
    return errors


def _direction(asked: Json, path: str) -> Errors:
    errors, at = rules.none(), f"{path}.stabilizationWindowSeconds"
    window = asked.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        errors += rules.invalid(at, window, "must be greater than or equal to zero")
    if window is not None and window > MAX_WINDOW_S:
        errors += rules.invalid(at, window, f"must be less than or equal to {MAX_WINDOW_S}")
    choice = asked.get("selectPolicy")
    if choice is not None and choice not in _SELECT:
        errors += rules.not_supported(f"{path}.selectPolicy", choice, _SELECT)
    policies = asked.get("policies") or ()
    if not policies:
        errors += rules.required(f"{path}.policies", "must specify at least one Policy")
    for number, policy in enumerate(policies):
        errors += _policy(policy, f"{path}.policies[{number}]")
    tolerance = asked.get("tolerance")
    if tolerance is not None and quantity.parse(tolerance).nanos < 0:
        says = "must be greater than or equal to 0"
        errors += rules.invalid(f"{path}.tolerance", tolerance, says)
    return errors


def _policy(policy: Json, path: str) -> Errors:
    errors: Errors = []
    if policy.get("type") not in _POLICIES:
        errors += rules.not_supported(f"{path}.type", policy.get("type", ""), _POLICIES)
    for field in ("value", "periodSeconds"):
        if policy.get(field, 0) <= 0:
            says = "must be greater than zero"
            errors += rules.invalid(f"{path}.{field}", policy.get(field, 0), says)
    if policy.get("periodSeconds", 0) > MAX_PERIOD_S:
        says = f"must be less than or equal to {MAX_PERIOD_S}"
        errors += rules.invalid(f"{path}.periodSeconds", policy["periodSeconds"], says)
    return errors
