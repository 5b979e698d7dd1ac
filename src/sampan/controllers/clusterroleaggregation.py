"""ClusterRoles with an aggregation rule hold the rules of all roles that it selects."""

from __future__ import annotations

from sampan.api import kinds, selectors
from sampan.api.errors import NotFound
from sampan.api.meta import Json, Key
from sampan.controllers.deps import Deps
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

ACCOUNT = "clusterrole-aggregation-controller"


def clusterroleaggregation(deps: Deps) -> Component:
    reconciler = ClusterRoleAggregation(deps)
    return Controller(reconciler, reconciler.queue, workers=2, wait_for=(reconciler.roles,))


class ClusterRoleAggregation:
    """The reconciler; keys are names of ClusterRoles."""

    name = "clusterrole-aggregation"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[str] = Queue(deps.clock)
        self._client = deps.client_of(ACCOUNT)
        self.roles = deps.informers.of(kinds.CLUSTERROLES)
        self.roles.on_change(self._changed)

    async def reconcile(self, key: str) -> float | None:
        role = self.roles.get(Key("", key))
        if role is None or role.get("aggregationRule") is None:
            return None
        rules = self._rules(key, role)
        if rules == (role.get("rules") or []):
            return None
        wished = {
            "metadata": {"name": key},
            "rules": rules,
        }
        try:
            await self._client.apply(kinds.CLUSTERROLES, wished, manager=ACCOUNT)
        except NotFound:
            return None
        return None

    def _rules(self, key: str, role: Json) -> list[Json]:
        """The rules of the selected roles, each once, in the order of the roles' names."""
        found: list[Json] = []
        chosen: dict[str, Json] = {}
        for wish in role["aggregationRule"].get("clusterRoleSelectors") or ():
            selector = selectors.from_object(wish)
            for other in self.roles.items():
                name = other["metadata"]["name"]
                if name != key and selector.matches(other["metadata"].get("labels")):
                    chosen[name] = other
        for name in sorted(chosen):
            found += [rule for rule in chosen[name].get("rules") or () if rule not in found]
        return found

    def _changed(self, old: Json | None, new: Json | None) -> None:
        """Any role may be selected by any rule; there are few of either."""
        for role in self.roles.items():
            if role.get("aggregationRule") is not None:
                self.queue.add(role["metadata"]["name"])
