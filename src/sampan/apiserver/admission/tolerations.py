"""DefaultTolerationSeconds: pods stay five minutes on a node that is not ready or unreachable.
TaintNodesByCondition: a new node is not ready until somebody says otherwise.
"""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.apiserver.attempts import CREATE, UPDATE, Attempt, Kinds

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
SECONDS = 300
NO_EXECUTE = "NoExecute"


class DefaultTolerationSeconds:
    kinds: Kinds = frozenset({("", "pods")})

    async def admit(self, attempt: Attempt) -> None:
        if not attempt.is_for("", "pods") or attempt.operation not in (CREATE, UPDATE):
            return
        pod = attempt.obj
        if pod is None or pod["metadata"].get("deletionTimestamp"):
            return
        held = list(pod["spec"].get("tolerations") or ())
        for key in (NOT_READY, UNREACHABLE):
            if not any(_tolerates(toleration, key) for toleration in held):
                held.append({
                    "key": key, "operator": "Exists", "effect": NO_EXECUTE,
                    "tolerationSeconds": SECONDS,
                })  # fmt: skip
        pod["spec"]["tolerations"] = held

    async def validate(self, attempt: Attempt) -> None:
        return


def _tolerates(toleration: Json, key: str) -> bool:
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in (
        "", NO_EXECUTE,
    )  # fmt: skip


class TaintNodesByCondition:
    kinds: Kinds = frozenset({("", "nodes")})

    async def admit(self, attempt: Attempt) -> None:
        if not attempt.is_for("", "nodes") or attempt.operation != CREATE or attempt.obj is None:
            return
        spec = attempt.obj.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any(t.get("key") == NOT_READY and t.get("effect") == "NoSchedule" for t in taints):
            spec["taints"] = [*taints, {"key": NOT_READY, "effect": "NoSchedule"}]

    async def validate(self, attempt: Attempt) -> None:
        return
