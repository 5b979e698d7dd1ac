"""The spec of a Job, which a CronJob's template has too."""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api import names
from sampan.api.errors import OMITTED, quoted
from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.core.pod import template as pods
from sampan.resources.rules import Errors

MAX_PARALLELISM_INDEXED = 100_000
MAX_FAILED_INDEXES = 100_000
MANY_COMPLETIONS = 100_000
MAX_WITH_MANY = 10_000
MAX_RULES = 20
MAX_EXIT_CODES = 255
MANAGED_BY_LIMIT = 63
INDEXES_LIMIT = 64 * 1024

_COUNTERS = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit",
    "ttlSecondsAfterFinished", "backoffLimitPerIndex",
)  # fmt: skip
_ACTIONS = ["Count", "FailIndex", "FailJob", "Ignore"]


def default_failure_policy(policy: Json | None) -> None:
    for rule in (policy or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"


def validate(spec: Json, path: str, old: Json | None) -> Errors:
    errors = rules.all_nonnegative(path, spec, _COUNTERS)
    failed = spec.get("maxFailedIndexes")
    errors += rules.nonnegative(f"{path}.maxFailedIndexes", failed)
    if failed is not None and spec.get("backoffLimitPerIndex") is None:
        detail = "when maxFailedIndexes is specified"
        errors += rules.required(f"{path}.backoffLimitPerIndex", detail)
    manager = spec.get("managedBy")
    if manager is not None:
        errors += rules.domain_prefixed_path(f"{path}.managedBy", manager)
        if len(manager) > MANAGED_BY_LIMIT:
            errors += rules.too_long(f"{path}.managedBy", MANAGED_BY_LIMIT)
    errors += _mode(spec, path)
    if spec.get("podFailurePolicy") is not None:
        errors += _failure_policy(spec, f"{path}.podFailurePolicy")
    errors += _success_policy(spec, f"{path}.successPolicy")
    errors += _replacement(spec, f"{path}.podReplacementPolicy")
    template, before = spec.get("template") or {}, (old or {}).get("template")
    errors += pods.validate_template(template, f"{path}.template", before)
    return errors + _restart(spec, f"{path}.template.spec.restartPolicy")


def _restart(spec: Json, path: str) -> Errors:
    policy = (spec.get("template") or {}).get("spec", {}).get("restartPolicy", "")
    if policy == "Always":  # The default: so nobody has chosen.
        return rules.required(path, 'valid values: "OnFailure", "Never"')
    if policy not in ("OnFailure", "Never"):
        return rules.not_supported(path, policy, ["OnFailure", "Never"])
    if spec.get("podFailurePolicy") is not None and policy != "Never":
        says = 'only "Never" is supported when podFailurePolicy is specified'
        return rules.invalid(path, policy, says)
    return []


def _mode(spec: Json, path: str) -> Errors:
    mode, errors = spec.get("completionMode"), rules.none()
    if mode is not None and mode not in ("NonIndexed", "Indexed"):
        errors += rules.not_supported(f"{path}.completionMode", mode, ["NonIndexed", "Indexed"])
    if mode == "Indexed":
        return errors + _indexed(spec, path)
    if mode in (None, "NonIndexed"):
        for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(field) is not None:
                says = "requires indexed completion mode"
                errors += rules.invalid(f"{path}.{field}", spec[field], says)
    return errors


def _indexed(spec: Json, path: str) -> Errors:
    completions, failed = spec.get("completions"), spec.get("maxFailedIndexes")
    parallelism = spec.get("parallelism") or 0
    errors: Errors = []
    if completions is None:
        errors += rules.required(f"{path}.completions", "when completion mode is Indexed")
    if parallelism > MAX_PARALLELISM_INDEXED:
        says = (
            f"must be less than or equal to {MAX_PARALLELISM_INDEXED} "
            "when completion mode is Indexed"
        )
        errors += rules.invalid(f"{path}.parallelism", parallelism, says)
    if completions is not None and failed is not None and failed > completions:
        says = "must be less than or equal to completions"
        errors += rules.invalid(f"{path}.maxFailedIndexes", failed, says)
    if failed is not None and failed > MAX_FAILED_INDEXES:
        says = f"must be less than or equal to {MAX_FAILED_INDEXES}"
        errors += rules.invalid(f"{path}.maxFailedIndexes", failed, says)
    if (completions or 0) > MANY_COMPLETIONS and spec.get("backoffLimitPerIndex") is not None:
        errors += _many(path, parallelism, failed)
    return errors


def _many(path: str, parallelism: int, failed: int | None) -> Errors:
    """What the status can still hold when there are very many indexes."""
    when = (
        f"must be less than or equal to {MAX_WITH_MANY} when completions are above "
        f"{MANY_COMPLETIONS} and used with backoff limit per index"
    )
    errors: Errors = []
    if failed is None:
        detail = f"must be specified when completions is above {MANY_COMPLETIONS}"
        errors += rules.required(f"{path}.maxFailedIndexes", detail)
    if parallelism > MAX_WITH_MANY:
        errors += rules.invalid(f"{path}.parallelism", parallelism, when)
    if failed is not None and failed > MAX_WITH_MANY:
        errors += rules.invalid(f"{path}.maxFailedIndexes", failed, when)
    return errors


def _failure_policy(spec: Json, path: str) -> Errors:
    listed = spec["podFailurePolicy"].get("rules") or ()
    if len(listed) > MAX_RULES:
        return rules.too_many(f"{path}.rules", len(listed), MAX_RULES)
    pod = (spec.get("template") or {}).get("spec", {})
    containers = {
        each.get("name")
        for part in ("containers", "initContainers")
        for each in pod.get(part) or ()
    }
    errors: Errors = []
    for at, rule in enumerate(listed):
        errors += _failure_rule(spec, rule, f"{path}.rules[{at}]", containers)
    return errors


def _choices(values: Iterable[str]) -> str:
    return "valid values: [" + " ".join(f'"{value}"' for value in values) + "]"


def _failure_rule(spec: Json, rule: Json, path: str, containers: set[str]) -> Errors:
    action, codes, conditions = (
        rule.get(field) for field in ("action", "onExitCodes", "onPodConditions")
    )
    errors: Errors = []
    if not action:
        errors += rules.required(f"{path}.action", _choices(_ACTIONS))
    elif action not in _ACTIONS:
        errors += rules.not_supported(f"{path}.action", action, _ACTIONS)
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        says = "requires the backoffLimitPerIndex to be set"
        errors += rules.invalid(f"{path}.action", action, says)
    if codes is not None:
        errors += _exit_codes(codes, f"{path}.onExitCodes", containers)
    for at, pattern in enumerate(conditions or ()):
        errors += _condition(pattern, f"{path}.onPodConditions[{at}]")
    if codes is not None and conditions:
        says = "specifying both OnExitCodes and OnPodConditions is not supported"
        errors += rules.invalid(path, OMITTED, says)
    if codes is None and not conditions:
        says = "specifying one of OnExitCodes and OnPodConditions is required"
        errors += rules.invalid(path, OMITTED, says)
    return errors


def _exit_codes(codes: Json, path: str, containers: set[str]) -> Errors:
    operator, values, errors = codes.get("operator"), codes.get("values") or [], rules.none()
    if not operator:
        errors += rules.required(f"{path}.operator", _choices(["In", "NotIn"]))
    elif operator not in ("In", "NotIn"):
        errors += rules.not_supported(f"{path}.operator", operator, ["In", "NotIn"])
    name = codes.get("containerName")
    if name is not None and name not in containers:
        says = "must be one of the container or initContainer names in the pod template"
        errors += rules.invalid(f"{path}.containerName", name, says)
    at = f"{path}.values"
    if not values:
        errors += rules.invalid(at, codes.get("values"), "at least one value is required")
    elif len(values) > MAX_EXIT_CODES:
        errors += rules.too_many(at, len(values), MAX_EXIT_CODES)
    for number, value in enumerate(values):
        if operator == "In" and value == 0:
            errors += rules.invalid(f"{at}[{number}]", 0, "must not be 0 for the In operator")
        if value in values[:number]:
            errors += rules.duplicate(f"{at}[{number}]", value)
    if values != sorted(values):
        errors += rules.invalid(at, values, "must be ordered")
    return errors


def _condition(pattern: Json, path: str) -> Errors:
    kind, status = pattern.get("type", ""), pattern.get("status")
    errors = rules.each(f"{path}.type", kind, names.qualified_name(kind))
    choices = ["False", "True", "Unknown"]
    if not status:
        return errors + rules.required(f"{path}.status", _choices(choices))
    return errors + rules.one_of(f"{path}.status", status, choices)


def _success_policy(spec: Json, path: str) -> Errors:
    policy = spec.get("successPolicy")
    if policy is None:
        return []
    if spec.get("completionMode") != "Indexed":
        return rules.invalid(path, policy, "requires indexed completion mode")
    listed = policy.get("rules") or ()
    if not listed:
        detail = "at least one rules must be specified when the successPolicy is specified"
        return rules.required(f"{path}.rules", detail)
    if len(listed) > MAX_RULES:
        return rules.too_many(f"{path}.rules", len(listed), MAX_RULES)
    total, errors = spec.get("completions") or 0, rules.none()
    for at, rule in enumerate(listed):
        errors += _success_rule(rule, f"{path}.rules[{at}]", total)
    return errors


def _success_rule(rule: Json, path: str, total: int) -> Errors:
    indexes, count = rule.get("succeededIndexes"), rule.get("succeededCount")
    if indexes is None and count is None:
        detail = "at least one of succeededCount or succeededIndexes must be specified"
        return rules.required(path, detail)
    errors, named = rules.none(), 0
    if indexes is not None:
        if len(indexes) > INDEXES_LIMIT:
            errors += rules.too_long(f"{path}.succeededIndexes", INDEXES_LIMIT)
        try:
            named = count_indexes(indexes, total)
        except ValueError as error:
            says = f"error parsing succeededIndexes: {error}"
            errors += rules.invalid(f"{path}.succeededIndexes", indexes, says)
    if count is None:
        return errors
    at = f"{path}.succeededCount"
    errors += rules.nonnegative(at, count)
    if count > total:
        says = f"must be less than or equal to {total} (the number of specified completions)"
        errors += rules.invalid(at, count, says)
    if indexes is not None and count > named:
        of = "the number of indexes in the specified succeededIndexes field"
        says = f"must be less than or equal to {named} ({of})"
        errors += rules.invalid(at, count, says)
    return errors


def count_indexes(text: str, total: int) -> int:
    """How many indexes `1,3-5` names; they must be in order and below `total`."""
    count, last = 0, -1
    for part in text.split(",") if text else ():
        ends = part.split("-")
        if len(ends) > 2:
            raise ValueError(f'the fragment "{part}" violates the requirement that an index '
                             "interval can have at most two parts separated by '-'")  # fmt: skip
        for end in ends:
            if not end.isdigit():
                raise ValueError(f"cannot convert string to integer for index: {quoted(end)}")
        low, high = int(ends[0]), int(ends[-1])
        for end_number in (low, high):
            if end_number >= total:
                raise ValueError(f'too large index: "{end_number}"')
        if low <= last or (len(ends) == 2 and high <= low):
            raise ValueError(f"non-increasing order, previous: {last}, current: {low}")
        count += high - low + 1
        last = high
    return count


def _replacement(spec: Json, path: str) -> Errors:
    policy = spec.get("podReplacementPolicy")
    if policy is None:
        return []
    with_failure = spec.get("podFailurePolicy") is not None
    allowed = ["Failed"] if with_failure else ["Failed", "TerminatingOrFailed"]
    return [] if policy in allowed else rules.not_supported(path, policy, allowed)
