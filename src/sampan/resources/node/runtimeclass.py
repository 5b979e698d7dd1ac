"""RuntimeClass: which container runtime runs a pod, and what that costs."""

from __future__ import annotations

from sampan.api import kinds, names, quantity
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.rules import Errors

_EFFECTS = ["NoSchedule", "PreferNoSchedule", "NoExecute"]


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    handler = new.get("handler", "")
    errors = rules.each("handler", handler, names.dns1123_label(handler))
    for name, amount in sorted(((new.get("overhead") or {}).get("podFixed") or {}).items()):
        if quantity.parse_json(amount) < quantity.parse("0"):
            says = "must be greater than or equal to 0"
            errors += rules.invalid(f"overhead.podFixed[{name}]", amount, says)
    errors += _scheduling(new.get("scheduling") or {})
    if old is not None:
        errors += rules.immutable("handler", handler, old.get("handler", ""))
    return errors


def _scheduling(scheduling: Json) -> Errors:
    errors = rules.labels("scheduling.nodeSelector", scheduling.get("nodeSelector"))
    seen: list[Json] = []
    for at, toleration in enumerate(scheduling.get("tolerations") or ()):
        path = f"scheduling.tolerations[{at}]"
        key = toleration.get("key")
        if key:
            errors += rules.each(f"{path}.key", key, names.qualified_name(key))
        elif toleration.get("operator") != "Exists":
            says = 'operator must be Exists when `key` is empty, which means "match all values '
            says += 'and all keys"'
            errors += rules.invalid(f"{path}.operator", toleration.get("operator", ""), says)
        effect = toleration.get("effect")
        if effect and effect not in _EFFECTS:
            errors += rules.not_supported(f"{path}.effect", effect, _EFFECTS)
        if toleration in seen:
            errors += rules.duplicate(path, toleration)
        seen.append(toleration)
    return errors


RUNTIMECLASS = Resource(
    id=kinds.RUNTIMECLASSES,
    schema="io.k8s.api.node.v1.RuntimeClass",
    singular="runtimeclass",
    validate=validate,
    columns=(cells.NAME, cells.column("Handler", cells.field("handler")), cells.AGE),
    generation=False,
    unconditional_update=False,
)
