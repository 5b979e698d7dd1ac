"""One round of a Deployment: what it decides (deployment_rules) is done through `Hands`, and told
(deployment_status).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from sampan.api import kinds
from sampan.api.errors import AlreadyExists, ApiError, NotFound
from sampan.api.meta import Json, Key
from sampan.controllers import conditions
from sampan.controllers import deployment_rules as rules
from sampan.controllers import deployment_status as statuses
from sampan.controllers.owners import controller_uid
from sampan.controllers.podhash import template_hash


class Hands(Protocol):
    """What a round may do to the world; every write comes back as the server stored it."""

    async def update_status(self, key: Key, deployment: Json) -> Json: ...

    async def update(self, key: Key, deployment: Json) -> Json: ...

    async def update_replicaset(self, key: Key, rs: Json) -> Json: ...

    async def create_replicaset(self, key: Key, rs: Json) -> Json: ...

    async def delete_replicaset(self, key: Key, rs: Json) -> None: ...

    async def find_replicaset(self, key: Key, name: str) -> Json | None: ...

    def tell(self, deployment: Json, kind: str, reason: str, message: str) -> None: ...

    def now(self) -> float: ...

    def old_pods_run(self, members: Iterable[Json], new: Json | None) -> bool: ...


class Round:
    """One reconciliation: the Deployment as it is known by now, and its ReplicaSets."""

    def __init__(self, hands: Hands, key: Key, found: Json, members: list[Json]) -> None:
        self._hands = hands
        self._key = key
        self._deployment = found
        self._members = members
        self._new = rules.current(found, members)

    @property
    def _old(self) -> list[Json]:
        uid = self._new["metadata"]["uid"] if self._new else ""
        return [rs for rs in self._members if rs["metadata"]["uid"] != uid]

    @property
    def _everyone(self) -> list[Json]:
        return [*self._old, *((self._new,) if self._new else ())]

    async def run(self) -> float | None:
        """Seconds until the progress deadline must be looked at, or None."""
        if self._deployment["metadata"].get("deletionTimestamp"):
            await self._adopt_new()
            await self._store_status(self._counted())
            return None
        changed = statuses.paused_or_resumed(self._deployment, self._hands.now())
        if changed is not None:
            status = {**(self._deployment.get("status") or {}), "conditions": changed}
            await self._put_status(status)
        if self._deployment["spec"].get("paused"):
            await self._sync()
            return None
        if await self._roll_back():
            return None
        if rules.is_scaling(self._deployment, self._everyone):
            await self._sync()
            return None
        if rules.is_rolling(self._deployment):
            return await self._roll()
        return await self._recreate()

    # The ways of a round.

    async def _sync(self) -> None:
        """Size and status only: while paused, and when only the size changed."""
        await self._adopt_new()
        await self._scale()
        if self._deployment["spec"].get("paused"):
            await self._clean_up()
        await self._store_status(self._counted())

    async def _roll(self) -> float | None:
        await self._need_new()
        if await self._size_new() or await self._shrink_old():
            return await self._tell_rollout()
        return await self._finish()

    async def _recreate(self) -> float | None:
        await self._adopt_new()
        shrunk = [await self._resize(rs, 0) for rs in rules.active(self._old)]
        gone = rules.count(self._old, "replicas") == 0
        if any(shrunk) or not gone or self._hands.old_pods_run(self._members, self._new):
            return await self._tell_rollout()
        await self._need_new()
        await self._size_new()
        return await self._finish()

    async def _finish(self) -> float | None:
        if statuses.is_complete(self._deployment, self._deployment.get("status") or {}):
            await self._clean_up()
        return await self._tell_rollout()

    async def _roll_back(self) -> bool:
        """The old annotation by which a client asks for an earlier template."""
        wish = (self._deployment["metadata"].get("annotations") or {}).get(rules.ROLLBACK)
        if wish is None:
            return False
        await self._adopt_new()
        revision = int(wish) if wish.isdigit() else 0
        known = sorted(self._old, key=rules.by_revision)
        if revision == 0 and known:
            revision = rules.number(known[-1], rules.REVISION) or 0
        target = next((rs for rs in known if rules.number(rs, rules.REVISION) == revision), None)
        notes = dict(self._deployment["metadata"]["annotations"])
        del notes[rules.ROLLBACK]
        wished = {**self._deployment, "metadata": {**self._deployment["metadata"]}}
        wished["metadata"]["annotations"] = notes
        if target is not None:
            template = rules.bare(target["spec"]["template"])
            wished["spec"] = {**self._deployment["spec"], "template": template}
            text = f'Rolled back deployment "{self._key.name}" to revision {revision}'
            self._hands.tell(self._deployment, "Normal", "DeploymentRollback", text)
        else:
            text = "Unable to find the revision to rollback to."
            text = text if revision else "Unable to find last revision."
            reason = "DeploymentRollbackRevisionNotFound"
            self._hands.tell(self._deployment, "Warning", reason, text)
        await self._hands.update(self._key, wished)
        return True

    # Steps.

    async def _adopt_new(self) -> None:
        """Bring the new ReplicaSet's annotations up to date, if there is one."""
        if self._new is None:
            return
        revision = rules.newest_revision(self._old) + 1
        notes = rules.annotations_for(self._deployment, self._new, revision, exists=True)
        need = self._deployment["spec"].get("minReadySeconds") or 0
        meta, spec = self._new["metadata"], self._new["spec"]
        if notes != (meta.get("annotations") or {}) or need != (spec.get("minReadySeconds") or 0):
            wished = {
                **self._new,
                "metadata": {**meta, "annotations": notes},
                "spec": {**spec, "minReadySeconds": need},
            }
            self._replace(await self._hands.update_replicaset(self._key, wished))
        text = f'Found new replica set "{meta["name"]}"'
        shown = self._new["metadata"]["annotations"].get(rules.REVISION, "")
        await self._note_revision(shown, "FoundNewReplicaSet", text, only_if_absent=True)

    async def _need_new(self) -> None:
        if self._new is not None:
            await self._adopt_new()
            return
        collisions = (self._deployment.get("status") or {}).get("collisionCount")
        hashed = template_hash(self._deployment["spec"]["template"], collisions)
        wished = rules.new_replicaset(self._deployment, hashed, kinds.DEPLOYMENTS)
        size = rules.size_of_new(self._deployment, [*self._members, wished], wished)
        wished["spec"]["replicas"] = size
        revision = rules.newest_revision(self._members) + 1
        notes = rules.annotations_for(self._deployment, wished, revision, exists=False)
        wished["metadata"]["annotations"] = notes
        made, is_fresh = await self._create(wished)
        name = made["metadata"]["name"]
        self._members.append(made)
        self._new = made
        if is_fresh and size > 0:
            self._tell_scaled(name, 0, size)
        reason, text = "NewReplicaSetCreated", f'Created new replica set "{name}"'
        await self._note_revision(str(revision), reason, text, only_if_absent=not is_fresh)

    async def _create(self, wished: Json) -> tuple[Json, bool]:
        name = wished["metadata"]["name"]
        try:
            return await self._hands.create_replicaset(self._key, wished), True
        except AlreadyExists:
            there = await self._hands.find_replicaset(self._key, name)
            if there is not None and self._is_ours(there, wished):
                return there, False
            # Another template with the same hash: count up, which makes another hash.
            status = dict(self._deployment.get("status") or {})
            status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
            await self._put_status(status)
            raise
        except ApiError as error:
            text = f'Failed to create new replica set "{name}": {error}'
            await self._note_failure(text)
            self._hands.tell(self._deployment, "Warning", "ReplicaSetCreateError", text)
            raise

    def _is_ours(self, there: Json, wished: Json) -> bool:
        same_owner = controller_uid(there) == self._deployment["metadata"]["uid"]
        template = rules.bare(there["spec"]["template"])
        return same_owner and template == rules.bare(wished["spec"]["template"])

    async def _note_failure(self, text: str) -> None:
        if statuses.has_deadline(self._deployment):
            reason, now = "ReplicaSetCreateError", self._hands.now()
            fresh = statuses.condition(statuses.PROGRESSING, "False", reason, text, now)
            await self._put_condition(fresh)

    async def _note_revision(
        self, revision: str, reason: str, text: str, *, only_if_absent: bool
    ) -> None:
        """The Deployment's revision annotation, and how it came to its new ReplicaSet."""
        known = statuses.conditions_of(self._deployment)
        has = any(item["type"] == statuses.PROGRESSING for item in known)
        wants = statuses.has_deadline(self._deployment) and not (has and only_if_absent)
        notes = self._deployment["metadata"].get("annotations") or {}
        if notes.get(rules.REVISION) == revision and not wants:
            return
        meta = {**self._deployment["metadata"], "annotations": {**notes, rules.REVISION: revision}}
        self._deployment = {**self._deployment, "metadata": meta}
        if wants:
            now = self._hands.now()
            fresh = statuses.condition(statuses.PROGRESSING, "True", reason, text, now)
            await self._put_condition(fresh)
        else:
            await self._put_status(self._deployment.get("status") or {})

    async def _size_new(self) -> bool:
        assert self._new is not None
        desired = rules.wanted(self._deployment)
        if rules.wanted(self._new) == desired:
            return False
        if rules.wanted(self._new) > desired:
            return await self._resize(self._new, desired)
        size = rules.size_of_new(self._deployment, self._everyone, self._new)
        return await self._resize(self._new, size)

    async def _shrink_old(self) -> bool:
        assert self._new is not None
        if rules.total(self._old) == 0:
            return False
        budget = rules.cleanup_budget(self._deployment, self._everyone, self._new)
        if budget <= 0:
            return False
        changed = False
        for rs, size in rules.unhealthy_first(rules.active(self._old), budget):
            changed |= await self._resize(rs, size)
        plan = rules.scale_down_old(self._deployment, self._everyone, rules.active(self._old))
        for rs, size in plan:
            changed |= await self._resize(rs, size)
        return changed

    async def _scale(self) -> None:
        single = rules.only_one(self._new, self._old)
        if single is not None:
            if rules.wanted(single) != rules.wanted(self._deployment):
                await self._resize(single, rules.wanted(self._deployment))
            return
        if rules.is_saturated(self._deployment, self._new):
            for rs in rules.active(self._old):
                await self._resize(rs, 0)
            return
        if rules.is_rolling(self._deployment):
            for rs, size in rules.proportional(self._deployment, self._everyone):
                await self._resize(rs, size, follow=True)

    async def _resize(self, rs: Json, size: int, *, follow: bool = False) -> bool:
        """Whether the size changed; `follow`: the annotations change also where it does not."""
        before = rules.wanted(rs)
        notes = rs["metadata"].get("annotations") or {}
        fresh = {**notes, **rules.sizes(self._deployment)}
        if before == size and (fresh == notes or not follow):
            return False
        wished = {
            **rs,
            "metadata": {**rs["metadata"], "annotations": fresh},
            "spec": {**rs["spec"], "replicas": size},
        }
        self._replace(await self._hands.update_replicaset(self._key, wished))
        if before != size:
            self._tell_scaled(rs["metadata"]["name"], before, size)
        return before != size

    async def _clean_up(self) -> None:
        for rs in rules.to_clean_up(self._deployment, self._old):
            await self._hands.delete_replicaset(self._key, rs)

    # Telling.

    def _tell_scaled(self, name: str, before: int, size: int) -> None:
        way = "up" if size > before else "down"
        text = f"Scaled {way} replica set {name} from {before} to {size}"
        self._hands.tell(self._deployment, "Normal", "ScalingReplicaSet", text)

    def _counted(self) -> Json:
        now = self._hands.now()
        return statuses.counted(self._deployment, self._everyone, self._new, now)

    async def _tell_rollout(self) -> float | None:
        now = self._hands.now()
        status = statuses.rollout(self._deployment, self._everyone, self._new, now)
        await self._store_status(status)
        return statuses.ask_again_in(self._deployment, status, now)

    async def _store_status(self, status: Json) -> None:
        if status != _shown(self._deployment):
            await self._put_status(status)

    async def _put_condition(self, fresh: Json) -> None:
        known = statuses.conditions_of(self._deployment)
        status = {**(self._deployment.get("status") or {})}
        status["conditions"] = conditions.put(known, fresh)
        await self._put_status(status)

    async def _put_status(self, status: Json) -> None:
        wished = {**self._deployment, "status": status}
        try:
            self._deployment = await self._hands.update_status(self._key, wished)
        except NotFound:
            return

    def _replace(self, fresh: Json) -> None:
        """An answer of the server takes the place of what was known of a ReplicaSet."""
        uid = fresh["metadata"]["uid"]
        self._members = [fresh if rs["metadata"]["uid"] == uid else rs for rs in self._members]
        if self._new is not None and self._new["metadata"]["uid"] == uid:
            self._new = fresh


def _shown(deployment: Json) -> Json:
    status = deployment.get("status") or {}
    return {name: value for name, value in status.items() if value not in (None, [])}
