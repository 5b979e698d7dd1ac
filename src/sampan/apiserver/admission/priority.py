"""Priority: the number behind a pod's priority class; and only one class is the default."""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.apiserver.attempts import CREATE, UPDATE, Attempt, Kinds
from sampan.apiserver.cacher.cacher import Cacher

GROUP = "scheduling.k8s.io"


class Priority:
    kinds: Kinds = frozenset({("", "pods"), (GROUP, "priorityclasses")})

    def __init__(self, cacher: Cacher) -> None:
        self._classes = cacher.collection(GROUP, "priorityclasses")

    async def admit(self, attempt: Attempt) -> None:
        if not attempt.is_for("", "pods") or attempt.obj is None:
            return
        if attempt.operation == CREATE:
            self._admit_new(attempt, attempt.obj["spec"])
        elif attempt.operation == UPDATE and attempt.old is not None:
            # A client that does not know these fields must not take them away.
            for key in ("priority", "preemptionPolicy"):
                if attempt.obj["spec"].get(key) is None and key in attempt.old["spec"]:
                    attempt.obj["spec"][key] = attempt.old["spec"][key]

    def _admit_new(self, attempt: Attempt, spec: Json) -> None:
        name = spec.get("priorityClassName") or ""
        if name:
            item = self._classes.get("", name)
            if item is None:
                raise attempt.forbid(f"no PriorityClass with name {name} was found")
            found = item.decode()
        else:
            found = self._default() or {"value": 0}
            if "metadata" in found:
                spec["priorityClassName"] = found["metadata"]["name"]
        value = found.get("value", 0)
        said = spec.get("priority")
        if said is not None and said != value:
            raise attempt.forbid(
                f"the integer value of priority ({said}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name"
            )
        spec["priority"] = value
        policy = found.get("preemptionPolicy") or "PreemptLowerPriority"
        if spec.get("preemptionPolicy") not in (None, policy):
            raise attempt.forbid(
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be "
                f"provided in pod spec; priority admission controller computed {policy} from the "
                "given PriorityClass name"
            )
        spec["preemptionPolicy"] = policy

    def _default(self) -> Json | None:
        """With several, the lowest: the least harm."""
        found = [
            obj for obj in (item.decode() for item in self._classes.items())
            if obj.get("globalDefault")
        ]  # fmt: skip
        return min(found, key=lambda obj: obj.get("value", 0), default=None)

    async def validate(self, attempt: Attempt) -> None:
        if not attempt.is_for(GROUP, "priorityclasses") or attempt.obj is None:
            return
        if attempt.obj.get("globalDefault"):
            other = self._default()
            if other is not None and other["metadata"]["name"] != attempt.name:
                raise attempt.forbid(
                    f"PriorityClass {other['metadata']['name']} is already marked as default. "
                    "Only one default can exist"
                )
