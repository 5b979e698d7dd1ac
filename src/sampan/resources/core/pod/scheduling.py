"""Where a pod may run: selectors, affinity, tolerations, spreading, gates."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources.rules import (
    Errors,
    duplicate,
    each,
    forbidden,
    invalid,
    label_selector,
    not_supported,
    required,
)

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
EQUALITY = ("Equal", "Exists")
NO_OPERATOR = "not a valid selector operator"


def validate_affinity(path: str, affinity: Json | None) -> Errors:
    if not affinity:
        return []
    errors: Errors = []
    if (node := affinity.get("nodeAffinity")) is not None:
        errors += node_affinity(f"{path}.nodeAffinity", node)
    for field in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(field) or {}
        here = f"{path}.{field}.requiredDuringSchedulingIgnoredDuringExecution"
        for at, term in enumerate(
            terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        ):
            errors += _pod_term(f"{here}[{at}]", term)
        here = f"{path}.{field}.preferredDuringSchedulingIgnoredDuringExecution"
        preferred = terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        for at, weighted in enumerate(preferred):
            errors += _weight(f"{here}[{at}].weight", weighted)
            term = weighted.get("podAffinityTerm") or {}
            errors += _pod_term(f"{here}[{at}].podAffinityTerm", term)
    return errors


def node_affinity(path: str, affinity: Json) -> Errors:
    errors: Errors = []
    selector = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if selector is not None:
        here = f"{path}.requiredDuringSchedulingIgnoredDuringExecution"
        errors += node_selector(here, selector)
    here = f"{path}.preferredDuringSchedulingIgnoredDuringExecution"
    preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    for at, weighted in enumerate(preferred):
        errors += _weight(f"{here}[{at}].weight", weighted)
        term = weighted.get("preference") or {}
        errors += node_term(f"{here}[{at}].preference", term, check_values=False)
    return errors


def node_selector(path: str, selector: Json) -> Errors:
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        says = "must have at least one node selector term"
        return required(f"{path}.nodeSelectorTerms", says)
    errors: Errors = []
    for at, term in enumerate(terms):
        errors += node_term(f"{path}.nodeSelectorTerms[{at}]", term, check_values=True)
    return errors


def node_term(path: str, term: Json, *, check_values: bool) -> Errors:
    """Only in a required term must values be possible labels."""
    errors: Errors = []
    for at, requirement in enumerate(term.get("matchExpressions") or ()):
        here = f"{path}.matchExpressions[{at}]"
        errors += _node_requirement(here, requirement, check_values=check_values)
    for at, requirement in enumerate(term.get("matchFields") or ()):
        errors += _field_requirement(f"{path}.matchFields[{at}]", requirement)
    return errors


def validate_tolerations(path: str, tolerations: Sequence[Json]) -> Errors:
    errors: Errors = []
    for at, toleration in enumerate(tolerations):
        errors += _toleration(f"{path}[{at}]", toleration)
    return errors


def taint_effect(path: str, effect: str) -> Errors:
    return [] if effect in EFFECTS else not_supported(path, effect, EFFECTS)


def validate_spread(path: str, constraints: Sequence[Json]) -> Errors:
    errors: Errors = []
    for at, constraint in enumerate(constraints):
        errors += _spread(f"{path}[{at}]", constraint, constraints[at + 1 :])
    return errors


def validate_readiness_gates(path: str, gates: Sequence[Json]) -> Errors:
    errors: Errors = []
    for at, gate in enumerate(gates):
        kind = gate.get("conditionType") or ""
        errors += each(f"{path}[{at}].conditionType", kind, names.qualified_name(kind))
    return errors


def validate_scheduling_gates(path: str, gates: Sequence[Json]) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for at, gate in enumerate(gates):
        name = gate.get("name") or ""
        errors += each(f"{path}[{at}]", name, names.qualified_name(name))
        if name in seen:
            errors += duplicate(f"{path}[{at}]", name)
        seen.add(name)
    return errors


def _weight(path: str, term: Json) -> Errors:
    weight = term.get("weight", 0)
    return [] if 1 <= weight <= 100 else invalid(path, weight, "must be in the range 1-100")


def _node_requirement(path: str, requirement: Json, *, check_values: bool) -> Errors:
    operator, values = requirement.get("operator", ""), requirement.get("values") or ()
    errors: Errors = []
    if operator in ("In", "NotIn"):
        if not values:
            says = "must be specified when `operator` is 'In' or 'NotIn'"
            errors += required(f"{path}.values", says)
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            says = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors += forbidden(f"{path}.values", says)
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            says = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            errors += required(f"{path}.values", says)
    else:
        errors += invalid(f"{path}.operator", operator, NO_OPERATOR)
    key = requirement.get("key") or ""
    errors += each(f"{path}.key", key, names.qualified_name(key))
    if check_values:
        for at, value in enumerate(values):
            errors += each(f"{path}.values[{at}]", value, names.label_value(value))
    return errors


def _field_requirement(path: str, requirement: Json) -> Errors:
    """Of a node's fields only its name can be asked for."""
    operator, values = requirement.get("operator", ""), requirement.get("values") or ()
    errors: Errors = []
    if operator not in ("In", "NotIn"):
        errors += invalid(f"{path}.operator", operator, NO_OPERATOR)
    elif len(values) != 1:
        says = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errors += required(f"{path}.values", says)
    key = requirement.get("key") or ""
    if key != "metadata.name":
        return errors + invalid(f"{path}.key", key, "not a valid field selector key")
    for at, value in enumerate(values):
        errors += each(f"{path}.values[{at}]", value, names.dns1123_subdomain(value))
    return errors


def _pod_term(path: str, term: Json) -> Errors:
    selector = term.get("labelSelector")
    errors = label_selector(f"{path}.labelSelector", selector)
    errors += label_selector(f"{path}.namespaceSelector", term.get("namespaceSelector"))
    for name in term.get("namespaces") or ():
        errors += each(f"{path}.namespace", name, names.dns1123_label(name))
    matched, unmatched = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
    errors += _label_keys(f"{path}.matchLabelKeys", matched, selector)
    errors += _label_keys(f"{path}.mismatchLabelKeys", unmatched, selector)
    errors += _merged_twice(path, matched, selector)
    for at, key in enumerate(matched):
        if key in unmatched:
            says = "exists in both matchLabelKeys and mismatchLabelKeys"
            errors += invalid(f"{path}.matchLabelKeys[{at}]", key, says)
    topology = term.get("topologyKey") or ""
    if not topology:
        errors += required(f"{path}.topologyKey", "can not be empty")
    return errors + each(f"{path}.topologyKey", topology, names.qualified_name(topology))


def _label_keys(path: str, keys: Sequence[str], selector: Json | None) -> Errors:
    if not keys:
        return []
    if selector is None:
        return forbidden(path, "must not be specified when labelSelector is not set")
    errors: Errors = []
    for at, key in enumerate(keys):
        errors += each(f"{path}[{at}]", key, names.qualified_name(key))
    return errors


def _merged_twice(path: str, keys: Sequence[str], selector: Json | None) -> Errors:
    """The keys were merged into the selector at creation; there twice is once too often."""
    if not keys or selector is None:
        return []
    seen = set(selector.get("matchLabels") or ())
    errors: Errors = []
    for expression in selector.get("matchExpressions") or ():
        key = expression.get("key") or ""
        if key in keys and key in seen:
            says = "exists in both matchLabelKeys and labelSelector"
            errors += invalid(f"{path}[{list(keys).index(key)}]", key, says)
        seen.add(key)
    return errors


def _toleration(path: str, toleration: Json) -> Errors:
    key, operator = toleration.get("key") or "", toleration.get("operator") or ""
    effect, value = toleration.get("effect") or "", toleration.get("value") or ""
    errors: Errors = []
    if key:
        errors += each(f"{path}.key", key, names.qualified_name(key))
    elif operator != "Exists":
        says = (
            "operator must be Exists when `key` is empty, which means "
            '"match all values and all keys"'
        )
        errors += invalid(f"{path}.operator", operator, says)
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        says = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        errors += invalid(f"{path}.effect", effect, says)
    if operator in ("Equal", ""):
        if complaints := names.label_value(value):
            errors += invalid(f"{path}.operator", value, ";".join(complaints))
    elif operator == "Exists":
        if value:
            says = "value must be empty when `operator` is 'Exists'"
            errors += invalid(f"{path}.operator", value, says)
    else:
        # Upstream names the comparisons, which are off, only to those who ask for one.
        allowed = ("Equal", "Exists", "Lt", "Gt") if operator in ("Lt", "Gt") else EQUALITY
        errors += not_supported(f"{path}.operator", operator, allowed)
    return errors + (taint_effect(f"{path}.effect", effect) if effect else [])


def _spread(path: str, constraint: Json, rest: Sequence[Json]) -> Errors:
    skew, domains = constraint.get("maxSkew", 0), constraint.get("minDomains")
    topology, action = (
        constraint.get("topologyKey") or "",
        constraint.get("whenUnsatisfiable") or "",
    )
    errors: Errors = []
    if skew <= 0:
        errors += invalid(f"{path}.maxSkew", skew, "must be greater than zero")
    if not topology:
        errors += required(f"{path}.topologyKey", "can not be empty")
    actions = ("DoNotSchedule", "ScheduleAnyway")
    if action not in actions:
        errors += not_supported(f"{path}.whenUnsatisfiable", action, actions)
    for other in rest:
        if (other.get("topologyKey"), other.get("whenUnsatisfiable")) == (topology, action):
            shown = f"{{{topology}, {action}}}"
            errors += duplicate(f"{path}.{{topologyKey, whenUnsatisfiable}}", shown)
            break
    if domains is not None:
        errors += _min_domains(f"{path}.minDomains", domains, action)
    for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        policy = constraint.get(field)
        if policy is not None and policy not in ("Honor", "Ignore"):
            errors += not_supported(f"{path}.{field}", policy, ("Honor", "Ignore"))
    selector, keys = constraint.get("labelSelector"), constraint.get("matchLabelKeys") or ()
    errors += _label_keys(f"{path}.matchLabelKeys", keys, selector)
    errors += _merged_twice(path, keys, selector)
    return errors + label_selector(f"{path}.labelSelector", selector)


def _min_domains(path: str, domains: int, action: str) -> Errors:
    errors: Errors = []
    if domains <= 0:
        errors += invalid(path, domains, "must be greater than zero")
    if action != "DoNotSchedule":
        says = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        errors += invalid(path, domains, says)
    return errors
