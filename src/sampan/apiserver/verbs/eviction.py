"""POST pods/NAME/eviction: a delete that asks the pod's disruption budget first."""

from __future__ import annotations

import dataclasses

import orjson

from sampan.api import selectors
from sampan.api.errors import BadRequest, Forbidden, NotFound, TooManyRequests, Unclassified
from sampan.api.meta import Json, ResourceId
from sampan.apiserver.answers import answer
from sampan.apiserver.attempts import CREATE, Attempt
from sampan.apiserver.call import Call
from sampan.apiserver.options import DeleteOptions, delete_options, write_options
from sampan.apiserver.reading import read_as
from sampan.apiserver.registry import delete as deleting
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.modify import modify
from sampan.apiserver.served import Catalog, Served
from sampan.apiserver.verbs.binding import CREATED
from sampan.std.http import Response

EVICTION = ResourceId("policy", "v1", "", "Eviction")
BETA = "policy/v1beta1"
SCHEMA = "io.k8s.api.policy.v1.Eviction"
MAX_DISRUPTED = 2000
REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
OVER = ("Succeeded", "Failed")


class Evictions:
    def __init__(self, parts: Parts, catalog: Catalog) -> None:
        self._parts = parts
        self._catalog = catalog

    async def create(self, served: Served, call: Call) -> Response:
        query = write_options(call.query, "CreateOptions")
        eviction = read_as(call, EVICTION, SCHEMA, query.validation, also=(BETA,))
        info = call.info
        if (eviction["metadata"].get("name") or "") != info.name:
            raise BadRequest("name in URL does not match name in Eviction object")
        options = delete_options(eviction.get("deleteOptions") or {}, {})
        dry_run = query.dry_run or options.dry_run
        attempt = Attempt(
            CREATE, served, call, info.namespace, info.name, eviction, None, "eviction", dry_run
        )
        await self._parts.chain.admit(attempt)
        await self._parts.chain.validate(attempt)
        item = served.collection.get(info.namespace, info.name)
        if item is None:
            raise NotFound.of(served.id, info.name)
        pod = served.current(item)
        if not _free(pod):
            await self._ask_budget(pod, dry_run=dry_run)
        if not dry_run:
            await self._note(served, pod, options)
        # The note has asked for the revision, and made another.
        version = options.version if dry_run else None
        final = dataclasses.replace(options, version=version, dry_run=dry_run)
        await deleting.delete(self._parts, served, call, info.name, final)
        return answer(call, orjson.dumps(CREATED), 201)

    async def _note(self, served: Served, pod: Json, options: DeleteOptions) -> None:
        """Say in the pod's status why it goes. Raises Conflict where it is not the pod meant."""
        meta = pod["metadata"]
        now = self._parts.timestamp()

        def tell(current: Json) -> Json:
            deleting.check_preconditions(served, current, options)
            status = current.setdefault("status", {})
            others = [c for c in status.get("conditions") or () if c["type"] != "DisruptionTarget"]
            status["conditions"] = [*others, {
                "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting", "lastProbeTime": None,
                "lastTransitionTime": now,
            }]  # fmt: skip
            return current

        await modify(self._parts, served, meta["namespace"], meta["name"], tell)

    async def _ask_budget(self, pod: Json, *, dry_run: bool) -> None:
        """Take one disruption from the pod's budget. Raises TooManyRequests when none is left."""
        served = self._catalog.find("policy", "v1", "poddisruptionbudgets")
        assert served is not None
        meta = pod["metadata"]
        budgets = [
            item
            for item in served.collection.items(meta["namespace"])
            if _covers(item.decode(), meta.get("labels") or {})
        ]
        if len(budgets) > 1:
            raise Unclassified(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource "
                "does not support."
            )
        if not budgets:
            return
        budget = served.current(budgets[0])
        if _unhealthy_may_go(pod, budget):
            return

        def take(current: Json) -> Json:
            return taken(current, meta["name"], self._parts.timestamp())

        await modify(self._parts, served, meta["namespace"], budgets[0].name, take, dry_run=dry_run)


def _free(pod: Json) -> bool:
    """Pods that do not count for any budget: not started, over, or going already."""
    phase = (pod.get("status") or {}).get("phase", "")
    return phase in ("Pending", *OVER) or bool(pod["metadata"].get("deletionTimestamp"))


def _covers(budget: Json, labels: Json) -> bool:
    selector = (budget.get("spec") or {}).get("selector")
    return selector is not None and selectors.from_object(selector).matches(labels)


def _unhealthy_may_go(pod: Json, budget: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    if any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions):
        return False
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired = status.get("desiredHealthy") or 0
    return bool((status.get("currentHealthy") or 0) >= desired and desired > 0)


def taken(budget: Json, pod: str, now: str) -> Json:
    """The budget with one disruption less. Raises TooManyRequests, Forbidden."""
    meta, status = budget["metadata"], budget.setdefault("status", {})
    name = meta["name"]
    if (status.get("observedGeneration") or 0) < (meta.get("generation") or 0):
        raise _too_many(f"The disruption budget {name} is still being processed by the server.", 10)
    allowed = status.get("disruptionsAllowed") or 0
    disrupted = status.get("disruptedPods") or {}
    if allowed < 0 or len(disrupted) > MAX_DISRUPTED:
        why = (
            "pdb disruptions allowed is negative"
            if allowed < 0
            else "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        )
        details = {"name": name, "group": "policy", "kind": "poddisruptionbudgets"}
        text = f'poddisruptionbudgets.policy "{name}" is forbidden: {why}'
        raise Forbidden(text, details=details)
    if allowed == 0:
        raise _too_many(
            f"The disruption budget {name} needs {status.get('desiredHealthy') or 0} healthy pods "
            f"and has {status.get('currentHealthy') or 0} currently"
        )
    status["disruptionsAllowed"] = allowed - 1
    status["disruptedPods"] = {**disrupted, pod: now}
    return budget


def _too_many(why: str, retry_s: int = 0) -> TooManyRequests:
    details: Json = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if retry_s:
        details["retryAfterSeconds"] = retry_s
    return TooManyRequests(REFUSED, details=details)
