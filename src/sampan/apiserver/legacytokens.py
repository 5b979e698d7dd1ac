"""Tokens without end, out of Secrets: when each was last used, and since when that is noted.

Secret      label kubernetes.io/legacy-token-last-used: 2026-11-30
ConfigMap   kube-system/kube-apiserver-legacy-service-account-token-tracking, data since
"""

from __future__ import annotations

import asyncio
import re

from sampan.api.errors import ApiError, NotFound
from sampan.api.meta import Json
from sampan.apiserver.bootstrap import made
from sampan.apiserver.cacher.collection import Event
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.modify import modify
from sampan.apiserver.served import Catalog, Served
from sampan.std import log

_log = log.get("apiserver")

LAST_USED = "kubernetes.io/legacy-token-last-used"
NAMESPACE, NAME = "kube-system", "kube-apiserver-legacy-service-account-token-tracking"
MANAGER = "kube-apiserver"
DAY_S = 86400.0
PAUSE_S = 1800.0
"""The ConfigMap is not made again sooner: servers with and without it must not fight."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class LegacyTokens:
    """`run` until cancelled; `used` is told by whoever checks tokens."""

    def __init__(self, parts: Parts, catalog: Catalog) -> None:
        self._parts = parts
        self._catalog = catalog
        self._secrets = parts.cacher.collection("", "secrets")
        self._maps = parts.cacher.collection("", "configmaps")
        self._used: dict[tuple[str, str], None] = {}
        self._made_at = float("-inf")
        self._wake = asyncio.Event()
        self._wake.set()
        parts.cacher.listen("", "configmaps", self._changed)

    def used(self, namespace: str, name: str) -> None:
        """A token of this Secret came; noted once a day."""
        item = self._secrets.get(namespace, name)
        if item is not None and item.labels.get(LAST_USED) not in self._days():
            self._used[namespace, name] = None
            self._wake.set()

    async def run(self) -> None:
        while True:
            timeout = None if self._tracks() else PAUSE_S
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                _log.debug("looks after the tracking of legacy tokens again")
            self._wake.clear()
            await self.settle()

    async def settle(self) -> None:
        """Write what is due."""
        await self._track()
        while self._used:
            namespace, name = self._used.popitem()[0]
            try:
                served = self._served("secrets")
                await modify(self._parts, served, namespace, name, self._noted)
            except NotFound:
                continue
            except ApiError as error:
                place = f"{namespace}/{name}"
                _log.warning("use of a legacy token not noted", secret=place, error=error)

    def _noted(self, secret: Json) -> Json:
        meta = secret["metadata"]
        labels = meta.get("labels") or {}
        if labels.get(LAST_USED) in self._days():
            return secret
        new = {**secret, "metadata": {**meta, "labels": {**labels, LAST_USED: self._days()[0]}}}
        self._parts.ownership.track(self._served("secrets"), secret, new, MANAGER, "")
        return new

    def _days(self) -> tuple[str, str]:
        """Today, and tomorrow: the clocks of two servers may differ."""
        return self._parts.timestamp()[:10], self._parts.timestamp(DAY_S)[:10]

    # Since when.

    def _tracks(self) -> bool:
        item = self._maps.get(NAMESPACE, NAME)
        since = (item.decode().get("data") or {}).get("since", "") if item is not None else ""
        return bool(_DATE.fullmatch(since))

    async def _track(self) -> None:
        if self._tracks():
            return
        served = self._served("configmaps")
        try:
            if self._maps.get(NAMESPACE, NAME) is not None:
                await modify(self._parts, served, NAMESPACE, NAME, self._dated)
            elif self._parts.clock.monotonic() - self._made_at >= PAUSE_S:
                self._made_at = self._parts.clock.monotonic()
                new = made(self._parts, served, self._tracker())
                self._parts.ownership.track(served, None, new, MANAGER, "")
                await self._parts.put(served, new, NAMESPACE, 0)
        except ApiError as error:
            _log.warning("tracking of legacy tokens not noted", error=error)

    def _tracker(self) -> Json:
        meta = {"name": NAME, "namespace": NAMESPACE}
        return {"metadata": meta, "data": {"since": self._days()[0]}}

    def _dated(self, config: Json) -> Json:
        data = {**(config.get("data") or {}), "since": self._days()[0]}
        new = {**config, "data": data, "metadata": {**config["metadata"]}}
        self._parts.ownership.track(self._served("configmaps"), config, new, MANAGER, "")
        return new

    def _served(self, plural: str) -> Served:
        served = self._catalog.find("", "v1", plural)
        assert served is not None
        return served

    def _changed(self, event: Event) -> None:
        if event.subject.name == NAME and event.subject.namespace == NAMESPACE:
            self._wake.set()
