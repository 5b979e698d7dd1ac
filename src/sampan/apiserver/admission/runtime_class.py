"""RuntimeClass: a pod's runtime must exist; its overhead and where it can run come with it."""

from __future__ import annotations

from sampan.api.errors import Unclassified
from sampan.api.meta import Json
from sampan.apiserver.attempts import CREATE, Attempt, Kinds
from sampan.apiserver.cacher.cacher import Cacher


class RuntimeClass:
    kinds: Kinds = frozenset({("", "pods")})

    def __init__(self, cacher: Cacher) -> None:
        self._classes = cacher.collection("node.k8s.io", "runtimeclasses")

    async def admit(self, attempt: Attempt) -> None:
        if not attempt.is_for("", "pods") or attempt.operation != CREATE or attempt.obj is None:
            return
        spec = attempt.obj["spec"]
        name = spec.get("runtimeClassName")
        if name is None:
            return
        if not name:
            raise Unclassified("resource name may not be empty")
        item = self._classes.get("", name)
        if item is None:
            raise attempt.forbid(f'pod rejected: RuntimeClass "{name}" not found')
        found = item.decode()
        self._set_overhead(attempt, spec, (found.get("overhead") or {}).get("podFixed"))
        _set_scheduling(attempt, spec, found.get("scheduling") or {})

    @staticmethod
    def _set_overhead(attempt: Attempt, spec: Json, wanted: Json | None) -> None:
        said = spec.get("overhead")
        if said and said != wanted:
            raise attempt.forbid(
                "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
            )
        if wanted:
            spec["overhead"] = dict(wanted)

    async def validate(self, attempt: Attempt) -> None:
        if not attempt.is_for("", "pods") or attempt.operation != CREATE or attempt.obj is None:
            return
        spec = attempt.obj["spec"]
        if spec.get("runtimeClassName") is None and spec.get("overhead"):
            raise attempt.forbid(
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            )


def _set_scheduling(attempt: Attempt, spec: Json, scheduling: Json) -> None:
    selector = dict(spec.get("nodeSelector") or {})
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        if selector.get(key, value) != value:
            raise attempt.forbid(
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {selector[key]}"
            )
        selector[key] = value
    if selector:
        spec["nodeSelector"] = selector
    held = list(spec.get("tolerations") or ())
    held += [t for t in scheduling.get("tolerations") or () if t not in held]
    if held:
        spec["tolerations"] = held
