"""PodTopologyLabels: a pod that is bound gets its node's zone and region as labels."""

from __future__ import annotations

from sampan.apiserver.attempts import CREATE, Attempt, Kinds
from sampan.apiserver.cacher.cacher import Cacher

COPIED = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class PodTopologyLabels:
    kinds: Kinds = frozenset({("", "pods")})

    def __init__(self, cacher: Cacher) -> None:
        self._nodes = cacher.collection("", "nodes")

    async def admit(self, attempt: Attempt) -> None:
        """The labels go into the binding, and with it into the pod."""
        if not attempt.is_for("", "pods", "binding") or attempt.operation != CREATE:
            return
        binding = attempt.obj
        if binding is None:
            return
        node = self._nodes.get("", (binding.get("target") or {}).get("name") or "")
        found = {key: node.labels[key] for key in COPIED if node and key in node.labels}
        if found:
            meta = binding["metadata"]
            meta["labels"] = {**(meta.get("labels") or {}), **found}

    async def validate(self, attempt: Attempt) -> None:
        return
