"""LimitRanger: defaults and bounds that a namespace sets for containers, pods and claims."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sampan.api.meta import Json
from sampan.api.quantity import Quantity, parse_json
from sampan.apiserver.attempts import CREATE, UPDATE, Attempt, Kinds
from sampan.apiserver.cacher.cacher import Cacher

ANNOTATION = "kubernetes.io/limit-ranger"

Amounts = dict[str, Quantity]


class LimitRanger:
    kinds: Kinds = frozenset({("", "pods"), ("", "persistentvolumeclaims")})

    def __init__(self, cacher: Cacher) -> None:
        self._ranges = cacher.collection("", "limitranges")

    def _limits(self, namespace: str) -> Iterator[Json]:
        for item in self._ranges.items(namespace):
            yield from item.decode()["spec"].get("limits") or ()

    async def admit(self, attempt: Attempt) -> None:
        if not attempt.is_for("", "pods") or attempt.operation != CREATE or attempt.obj is None:
            return
        for limit in self._limits(attempt.namespace):
            if limit["type"] == "Container":
                set_defaults(attempt.obj, limit)

    async def validate(self, attempt: Attempt) -> None:
        obj = attempt.obj
        if obj is None or not self._ranges.total(attempt.namespace):
            return
        errors: list[str] = []
        if attempt.is_for("", "pods") and attempt.operation == CREATE:
            for limit in self._limits(attempt.namespace):
                errors += pod_errors(obj, limit)
        elif attempt.is_for("", "persistentvolumeclaims") and attempt.operation in (CREATE, UPDATE):
            for limit in self._limits(attempt.namespace):
                if limit["type"] == "PersistentVolumeClaim":
                    asked = amounts((obj["spec"].get("resources") or {}).get("requests"))
                    errors += storage_errors(asked, limit)
        if errors:
            unique = list(dict.fromkeys(errors))
            raise attempt.forbid(unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]")


def amounts(values: Json | None) -> Amounts:
    return {name: parse_json(value) for name, value in (values or {}).items()}


def set_defaults(pod: Json, limit: Json) -> None:
    """Requests and limits that containers do not name; told in an annotation."""
    notes: list[str] = []
    for key, word in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(key) or ():
            notes += _merge(container, limit, word)
    if notes:
        annotations = pod["metadata"].get("annotations") or {}
        text = "LimitRanger plugin set: " + "; ".join(notes)
        pod["metadata"]["annotations"] = {**annotations, ANNOTATION: text}


def _merge(container: Json, limit: Json, word: str) -> list[str]:
    resources = container.setdefault("resources", {})
    notes = []
    for field, defaults, name in (
        ("requests", limit.get("defaultRequest"), "request"),
        ("limits", limit.get("default"), "limit"),
    ):
        held = dict(resources.get(field) or {})
        missing = sorted(set(defaults or {}) - set(held))
        if missing:
            held.update({key: (defaults or {})[key] for key in missing})
            resources[field] = held
            notes.append(f"{', '.join(missing)} {name} for {word} {container['name']}")
    return notes


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: `Container` or `Pod`, with what it asks for."""

    kind: str
    requests: Amounts
    limits: Amounts


def pod_errors(pod: Json, limit: Json) -> list[str]:
    spec = pod["spec"]
    if limit["type"] == "Container":
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        return [
            error
            for container in containers
            for error in _errors(_subject("Container", container.get("resources") or {}), limit)
        ]
    if limit["type"] != "Pod":
        return []
    return _errors(_pod_subject(spec), limit)


def _subject(kind: str, resources: Json) -> Subject:
    return Subject(kind, amounts(resources.get("requests")), amounts(resources.get("limits")))


def _pod_subject(spec: Json) -> Subject:
    """The sum of the containers, or what the largest init container needs."""
    totals: list[Amounts] = []
    for field in ("requests", "limits"):
        total: Amounts = {}
        for container in spec.get("containers") or ():
            for name, value in amounts((container.get("resources") or {}).get(field)).items():
                total[name] = total[name] + value if name in total else value
        for container in spec.get("initContainers") or ():
            for name, value in amounts((container.get("resources") or {}).get(field)).items():
                if name not in total or total[name] < value:
                    total[name] = value
        totals.append(total)
    return Subject("Pod", totals[0], totals[1])


def _errors(subject: Subject, limit: Json) -> list[str]:
    errors = []
    for name, bound in amounts(limit.get("min")).items():
        errors += _too_little(subject, name, bound)
    for name, bound in amounts(limit.get("max")).items():
        errors += _too_much(subject, name, bound)
    for name, ratio in amounts(limit.get("maxLimitRequestRatio")).items():
        errors += _ratio(subject, name, ratio)
    return errors


def _too_little(subject: Subject, name: str, bound: Quantity) -> list[str]:
    request, limit = subject.requests.get(name), subject.limits.get(name)
    text = f"minimum {name} usage per {subject.kind} is {bound}"
    if request is None:
        return [f"{text}.  No request is specified"]
    if request < bound:
        return [f"{text}, but request is {request}"]
    if limit is not None and limit < bound:
        return [f"{text}, but limit is {limit}"]
    return []


def _too_much(subject: Subject, name: str, bound: Quantity) -> list[str]:
    request, limit = subject.requests.get(name), subject.limits.get(name)
    text = f"maximum {name} usage per {subject.kind} is {bound}"
    if limit is None:
        return [f"{text}.  No limit is specified"]
    if bound < limit:
        return [f"{text}, but limit is {limit}"]
    if request is not None and bound < request:
        return [f"{text}, but request is {request}"]
    return []


def _ratio(subject: Subject, name: str, ratio: Quantity) -> list[str]:
    request, limit = subject.requests.get(name), subject.limits.get(name)
    text = f"{name} max limit to request ratio per {subject.kind} is {ratio}"
    if not request:
        return [f"{text}, but no request is specified or request is 0"]
    if not limit:
        return [f"{text}, but no limit is specified or limit is 0"]
    real = limit.nanos / request.nanos
    if real > ratio.nanos / 1e9:
        return [f"{text}, but provided ratio is {real:f}"]
    return []


def storage_errors(asked: Amounts, limit: Json) -> list[str]:
    """Claims have requests only."""
    errors = []
    kind = limit["type"]
    for name, bound in amounts(limit.get("min")).items():
        text = f"minimum {name} usage per {kind} is {bound}"
        if name not in asked:
            errors.append(f"{text}.  No request is specified")
        elif asked[name] < bound:
            errors.append(f"{text}, but request is {asked[name]}")
    for name, bound in amounts(limit.get("max")).items():
        text = f"maximum {name} usage per {kind} is {bound}"
        if name not in asked:
            errors.append(f"{text}.  No request is specified")
        elif bound < asked[name]:
            errors.append(f"{text}, but request is {asked[name]}")
    return errors
