"""Node ports at the loopback addresses, for modes whose rules cannot serve them: TCP only.

The moving process listens at 127.0.0.1 and ::1 and connects to endpoints itself, where
nodePortAddresses hold these. A port that somebody else has is told and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sampan.api.meta import Key
from sampan.linux.base.helper import Helper, HelperError
from sampan.proxy.backend import Backend, BackendError
from sampan.proxy.model import Rules, label
from sampan.proxy.noticing import first_of
from sampan.proxy.settings import Settings
from sampan.std import log

AGAIN_S = 5.0
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
Ops = tuple[Any, Rules | None, Rules | None]
Listeners = dict[str, dict[str, Any]]
_LOG = log.get("proxy")


class LocalhostNodePorts:
    """Implements `Backend[Ops]` around another backend."""

    def __init__(self, inner: Backend[Any], helper: Helper) -> None:
        self._inner = inner
        self._helper = helper
        self.name = inner.name
        self.refused: Callable[[Key, str], None] = lambda *_: None
        """Told when a Service's port is somebody else's."""
        self._families: frozenset[int] = frozenset()
        self._asked = False
        """Whether the process was ever needed."""
        self._failed: dict[str, dict[str, Any]] = {}

    def probe(self) -> str:
        return self._inner.probe()

    def configure(self, settings: Settings) -> None:
        self._inner.configure(settings)
        self._families = frozenset(
            one.family for one in settings.families if one.loopback_listeners
        )

    def render(self, key: Key, old: Rules | None, new: Rules | None) -> Ops:
        return self._inner.render(key, old, new), old, new

    async def load(self, ops: Sequence[Ops]) -> None:
        await self._inner.load([inner for inner, _, _ in ops])
        had: Listeners = {}
        wanted: Listeners = {}
        for _, old, new in ops:
            had.update(listeners(old, self._families))
            wanted.update(listeners(new, self._families))
        changed = [one for name, one in wanted.items() if had.get(name) != one]
        gone = sorted(had.keys() - wanted.keys())
        if changed or gone:
            await self._ask({"close": gone, "portals": changed})
        for name in gone:
            self._failed.pop(name, None)

    async def resync(self, model: Mapping[Key, Rules]) -> None:
        await self._inner.resync(model)
        wanted: Listeners = {}
        for rules in model.values():
            wanted.update(listeners(rules, self._families))
        self._failed = {name: one for name, one in self._failed.items() if name in wanted}
        if wanted or self._asked:
            await self._ask({"portals": list(wanted.values()), "only": sorted(wanted)})

    async def cleanup(self) -> None:
        await self._helper.close()
        await self._inner.cleanup()

    async def disturbed(self) -> None:
        await first_of(self._inner.disturbed(), self._helper.ended(), self._again())

    async def _again(self) -> None:
        """Try the ports that somebody else had, for ever."""
        while True:
            await asyncio.sleep(AGAIN_S)
            if self._failed:
                with contextlib.suppress(BackendError):
                    await self._ask({"portals": list(self._failed.values())})

    async def _ask(self, question: dict[str, Any]) -> None:
        """A port that somebody else has is said once, and is no reason to stop."""
        asked = {one["name"]: one for one in question.get("portals", ())}
        self._asked = True
        try:
            answer = await self._helper.ask({**question, "kind": "loopback"})
        except HelperError as error:
            raise BackendError(f"node ports at the loopback: {error}") from error
        for name, why in answer["errors"].items():
            if name not in self._failed:
                _LOG.warning("a node port is taken at the loopback address", port=name, why=why)
                where = f"{asked[name]['address']}:{asked[name]['number']}"
                self.refused(_key(name), f"node port {where} cannot be opened: {why}")
        for name, one in asked.items():
            if name in answer["errors"]:
                self._failed[name] = one
            else:
                self._failed.pop(name, None)


def _key(name: str) -> Key:
    namespace, _, rest = name.partition("@")[0].partition("/")
    return Key(namespace, rest.partition(":")[0])


def listeners(rules: Rules | None, families: frozenset[int]) -> Listeners:
    """The listening ports of a Service. The host is no outsider: policy Local does not bind it."""
    found: Listeners = {}
    for port in rules.ports if rules else ():
        if not port.node_port or port.protocol != "tcp" or not port.cluster:
            continue
        if port.family not in families:
            continue
        address = LOOPBACK[port.family]
        name = f"{label(rules.key, port) if rules else ''}@{address}:{port.node_port}"
        found[name] = {
            "name": name,
            "protocol": "tcp",
            "family": port.family,
            "address": address,
            "number": port.node_port,
            "targets": [[target.ip, target.port] for target in port.cluster],
            "affinity": name if port.affinity_s else "",
            "affinity_s": port.affinity_s,
        }
    return found
