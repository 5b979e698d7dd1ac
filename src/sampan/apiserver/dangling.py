"""The condition Dangling of FlowSchemas: whether the priority level that they name is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sampan.api.errors import ApiError, NotFound
from sampan.api.meta import Json
from sampan.apiserver.cacher.collection import Event
from sampan.apiserver.flows import GROUP
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.modify import modify
from sampan.apiserver.served import Catalog, Served
from sampan.std import log

_log = log.get("apiserver")

MANAGER = "api-priority-and-fairness-config-consumer-v1"


def condition(level: str, now: str, *, found: bool) -> Json:
    named = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
    return {
        "type": "Dangling",
        "status": "False" if found else "True",
        "lastTransitionTime": now,
        "reason": "Found" if found else "NotFound",
        "message": f"{named} and it exists" if found else f"{named} but there is no such object",
    }


class Dangling:
    """`run` until cancelled."""

    def __init__(self, parts: Parts, catalog: Catalog) -> None:
        self._parts = parts
        self._catalog = catalog
        self._schemas = parts.cacher.collection(GROUP, "flowschemas")
        self._levels = parts.cacher.collection(GROUP, "prioritylevelconfigurations")
        self._wake = asyncio.Event()
        self._wake.set()
        for plural in ("flowschemas", "prioritylevelconfigurations"):
            parts.cacher.listen(GROUP, plural, self._changed)

    def _changed(self, _event: Event) -> None:
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            served = self._catalog.find(GROUP, "v1", "flowschemas")
            for item in list(self._schemas.items()) if served is not None else ():
                assert served is not None
                await self._settle(served, item.name)

    async def _settle(self, served: Served, name: str) -> None:
        item = self._schemas.get("", name)
        if item is None or self._told(served.current(item)) is None:
            return
        try:
            await modify(self._parts, served, "", name, self._tell(served))
        except NotFound:
            return
        except ApiError as error:
            _log.warning("status of a FlowSchema not written", name=name, error=error)

    def _told(self, schema: Json) -> Json | None:
        """The condition that is to be written; None where it stands already."""
        level = schema["spec"]["priorityLevelConfiguration"]["name"]
        found = self._levels.get("", level) is not None
        wanted = condition(level, self._parts.timestamp(), found=found)
        for held in (schema.get("status") or {}).get("conditions") or ():
            if held.get("type") == "Dangling":
                if held.get("status") == wanted["status"]:
                    wanted["lastTransitionTime"] = held.get("lastTransitionTime")
                if held == wanted:
                    return None
        return wanted

    def _tell(self, served: Served) -> Callable[[Json], Json]:
        def tell(current: Json) -> Json:
            wanted = self._told(current)
            if wanted is None:
                return current
            config = {
                "apiVersion": served.id.api_version,
                "kind": served.id.kind,
                "metadata": {"name": current["metadata"]["name"]},
                "status": {"conditions": [wanted]},
            }
            return self._parts.ownership.apply(
                served, current, config, MANAGER, "status", force=True
            )

        return tell
