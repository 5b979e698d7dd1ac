"""Tells in the status of each ValidatingAdmissionPolicy what is wrong with its expressions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from sampan.api import facts, kinds
from sampan.api.errors import NotFound
from sampan.api.meta import Json, Key, key_of
from sampan.controllers.deps import Deps
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller
from sampan.resources.admissionregistration import typecheck
from sampan.resources.admissionregistration.typecheck import Gvk
from sampan.resources.cel.types import Kind
from sampan.resources.custom import builtin, celtypes

ACCOUNT = "validatingadmissionpolicy-status-controller"
MANAGER = "validatingadmissionpolicy-status"


def validatingadmissionpolicystatus(deps: Deps) -> Component:
    reconciler = PolicyStatus(deps)
    waits = (reconciler.policies, reconciler.definitions)
    return Controller(reconciler, reconciler.queue, workers=1, wait_for=waits)


class PolicyStatus:
    """The reconciler; each generation of a policy is checked once, as upstream does: a kind that is
    defined later changes nothing.
    """

    name = ACCOUNT

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._client = deps.client_of(ACCOUNT)
        self.policies = deps.informers.of(kinds.VALIDATINGADMISSIONPOLICIES)
        self.definitions = deps.informers.of(kinds.CUSTOMRESOURCEDEFINITIONS)
        self.policies.on_change(lambda old, new: self.queue.add(key_of(new)) if new else None)

    async def reconcile(self, key: Key) -> float | None:
        policy = self.policies.get(key)
        if policy is None:
            return None
        generation = policy["metadata"].get("generation", 0)
        if generation <= (policy.get("status") or {}).get("observedGeneration", 0):
            return None
        found = typecheck.warnings(policy, Served(self.definitions.items()))
        checked: Json = {"expressionWarnings": found} if found else {}
        status = {"observedGeneration": generation, "typeChecking": checked}
        wanted = {"metadata": {"name": key.name}, "status": status}
        try:
            await self._client.apply(
                kinds.VALIDATINGADMISSIONPOLICIES, wanted, manager=MANAGER, subresource="status"
            )
        except NotFound:
            return None
        return None


class Served:
    """Built-in kinds, and custom ones by their definitions."""

    def __init__(self, definitions: Iterable[Json]) -> None:
        self._definitions = tuple(definitions)

    def kinds(self, group: str, version: str, resource: str) -> Sequence[str]:
        known = _built_in().get((group, version, resource))
        if known:
            return (known,)
        return [
            crd["spec"]["names"]["kind"]
            for crd, _ in self._versions(group, version)
            if crd["spec"]["names"]["plural"] == resource
        ]

    def shape(self, gvk: Gvk) -> Kind | None:
        known = builtin.kind_of(*gvk)
        if known is not None:
            return known
        for crd, served in self._versions(gvk.group, gvk.version):
            if crd["spec"]["names"]["kind"] == gvk.kind:
                schema = (served.get("schema") or {}).get("openAPIV3Schema")
                return celtypes.whole_kind(schema, gvk.kind) if schema else None
        return None

    def _versions(self, group: str, version: str) -> Iterable[tuple[Json, Json]]:
        for crd in self._definitions:
            if crd["spec"]["group"] == group:
                for each in crd["spec"]["versions"]:
                    if each["name"] == version and each.get("served"):
                        yield crd, each


@cache
def _built_in() -> Mapping[tuple[str, str, str], str]:
    """(group, version, plural) -> kind."""
    rows = facts.load("resources")
    return {(("" if r[0] == "core" else r[0]), r[1], r[2]): r[3] for r in rows}
