"""ResourceQuota: nothing beyond what a namespace may use, exact also when many write at once.

The new usage is written into the quota's status in the very transaction that stores the object;
whoever comes at the same time waits, or is asked again when somebody else was faster.
"""

from __future__ import annotations

import asyncio

from sampan.api.meta import Json
from sampan.apiserver.attempts import CREATE, UPDATE, Attempt
from sampan.apiserver.cacher.cacher import key_for
from sampan.apiserver.cacher.item import Item, value_of
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.served import Catalog
from sampan.resources import usage
from sampan.resources.usage import Amounts
from sampan.store.base import Compare, Put

MANAGER = "kube-apiserver"
ON_UPDATE = frozenset({("", "services"), ("", "persistentvolumeclaims")})


class ResourceQuota:
    def __init__(self, parts: Parts, catalog: Catalog) -> None:
        self._parts = parts
        self._catalog = catalog
        self._quotas = parts.cacher.collection("", "resourcequotas")
        self._locks: dict[str, asyncio.Lock] = {}

    async def admit(self, attempt: Attempt) -> None:
        return

    async def validate(self, attempt: Attempt) -> None:
        rid, namespace = attempt.id, attempt.namespace
        if not namespace or attempt.subresource or not self._quotas.total(namespace):
            return
        if attempt.operation == CREATE or (
            attempt.operation == UPDATE and (rid.group, rid.plural) in ON_UPDATE
        ):
            lock = self._locks.setdefault(namespace, asyncio.Lock())
            await lock.acquire()
            attempt.releases.append(lock.release)
            self._charge(attempt)

    def _charge(self, attempt: Attempt) -> None:
        """Raises Forbidden when a quota would be exceeded; else charges all that look."""
        group, plural = attempt.id.group, attempt.id.plural
        obj = attempt.obj
        assert obj is not None
        quotas = []
        for item in self._quotas.items(attempt.namespace):
            quota = item.decode()
            if usage.matches(quota, group, plural, obj):
                self._check_known(attempt, quota, group, plural)
                quotas.append((item, quota))
        delta = usage.usage(group, plural, obj)
        if attempt.old is not None:
            delta = _growth(delta, usage.usage(group, plural, attempt.old))
        delta = {name: value for name, value in delta.items() if value}
        if not delta:
            return
        for item, quota in quotas:
            self._charge_one(attempt, item, quota, delta)

    @staticmethod
    def _check_known(attempt: Attempt, quota: Json, group: str, plural: str) -> None:
        name = quota["metadata"]["name"]
        names = usage.covered(quota, group, plural)
        if (group, plural) == ("", "pods") and attempt.obj is not None:
            complaint = usage.missing(names, attempt.obj)
            if complaint:
                raise attempt.forbid(f"failed quota: {name}: {complaint}")
        used = quota["status"].get("used") or {}
        if any(resource not in used for resource in names):
            listed = ",".join(names)
            raise attempt.forbid(f"status unknown for quota: {name}, resources: {listed}")

    def _charge_one(self, attempt: Attempt, item: Item, quota: Json, delta: Amounts) -> None:
        status = quota["status"]
        hard, used = usage.parsed(status.get("hard")), usage.parsed(status.get("used"))
        asked = {name: value for name, value in delta.items() if name in hard}
        if not asked:
            return
        after = usage.total((used, asked))
        exceeded = [name for name in asked if hard[name] < after[name]]
        if exceeded:
            parts = [
                usage.shown({name: amounts[name] for name in exceeded if name in amounts})
                for amounts in (asked, used, hard)
            ]
            raise attempt.forbid(
                f"exceeded quota: {quota['metadata']['name']}, requested: {parts[0]}, "
                f"used: {parts[1]}, limited: {parts[2]}"
            )
        served = self._catalog.find("", "v1", "resourcequotas")
        assert served is not None
        status["used"] = {name: str(value) for name, value in after.items()}
        quota["kind"], quota["apiVersion"] = "ResourceQuota", "v1"
        self._parts.ownership.track(served, served.current(item), quota, MANAGER, "status")
        key = key_for("", "resourcequotas", item.namespace, item.name)
        attempt.compares.append(Compare(key, item.revision))
        attempt.writes.append(Put(key, value_of(quota)))


def _growth(new: Amounts, old: Amounts) -> Amounts:
    return {
        name: value - old[name] if name in old else value
        for name, value in new.items()
        if name not in old or old[name] < value
    }
