"""Cutting off UDP flows beside the event loop: at once, and once more a little later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sampan.api.meta import Key
from sampan.linux.base.conntrack import Conntrack
from sampan.proxy.backend import Aside
from sampan.proxy.conntrack import Stale, cut, everything, stale
from sampan.proxy.metrics import Metrics
from sampan.proxy.model import Frontend, Rules
from sampan.proxy.tracker import Change
from sampan.std import log
from sampan.std.clock import Clock

SECOND_LOOK_S = 2.0
"""A packet that was on its way during a change may leave a stale flow behind it."""
UNDER_WAY_S = 0.5
"""So long at least lies between a change and the second look, which is one for many changes."""
_LOG = log.get("proxy")


@dataclass(frozen=True, slots=True)
class Flows:
    """`model` is what is in force, asked anew at the second look."""

    conntrack: Conntrack
    clock: Clock
    metrics: Metrics
    model: Mapping[Key, Rules]
    local_ips: Callable[[], Sequence[str]]
    aside: Aside
    late: list[tuple[float, Key, Sequence[Stale]]] = field(default_factory=list)
    """What waits for the second look, and since when."""

    async def at_start(self) -> None:
        """Whatever leads nowhere now; a flow that leads to an endpoint stays."""
        await self._cut(everything(self.model.values()))

    def concerned(self, changes: Sequence[Change]) -> dict[Key, list[Stale]]:
        return {one.key: found for one in changes if (found := stale(one.old, one.new))}

    async def after(self, flows: Mapping[Key, Sequence[Stale]]) -> None:
        await self._cut([one for several in flows.values() for one in several])
        looked_for = bool(self.late)
        now = self.clock.monotonic()
        self.late.extend((now, key, several) for key, several in flows.items())
        while self.late and not looked_for:
            await self.clock.sleep(SECOND_LOOK_S)
            await self._cut(self._due(self.clock.monotonic() - UNDER_WAY_S))

    def _due(self, until: float) -> list[Stale]:
        """What has waited long enough, as it is to be looked at by now."""
        due = [one for one in self.late if one[0] <= until]
        self.late[:] = [one for one in self.late if one[0] > until]
        found: dict[Frontend, Stale] = {}
        for _, key, several in due:
            current = {one.frontend: one for one in stale(None, self.model.get(key))}
            found |= {one.frontend: current.get(one.frontend, one) for one in several}
        return list(found.values())

    async def _cut(self, flows: Sequence[Stale]) -> None:
        for words, family in (("IPv4", 4), ("IPv6", 6)):
            some = [one for one in flows if one.frontend.family == family]
            if not some:
                continue
            begun = self.clock.monotonic()
            try:
                count = await self.aside(cut, self.conntrack, some, frozenset(self.local_ips()))
            except OSError as error:
                _LOG.warning("stale UDP flows cannot be cut off", error=error)
                continue
            self.metrics.looked.labels(words).observe(self.clock.monotonic() - begun)
            self.metrics.deleted_flows.labels(words).inc(count)
