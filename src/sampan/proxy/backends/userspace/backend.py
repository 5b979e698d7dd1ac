"""The userspace backend: portals in a process of their own, and another backend's rules that lead
to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sampan.api.meta import Key
from sampan.linux.base.helper import Helper, HelperError
from sampan.proxy.backend import Backend, BackendError
from sampan.proxy.backends.userspace.portals import Portal, portals, through
from sampan.proxy.model import Rules
from sampan.proxy.noticing import first_of
from sampan.proxy.settings import Settings

Ops = tuple[Key, Rules | None, Rules | None]


class UserspaceBackend:
    """Implements `Backend[Ops]`. `inner` makes the rules, as if each portal were an endpoint."""

    name = "userspace"

    def __init__(self, inner: Backend[Any], helper: Helper, settings: Settings) -> None:
        self._inner = inner
        self._helper = helper
        self._node_ips = _node_ips(settings)
        self._numbers: dict[str, int] = {}

    def probe(self) -> str:
        return self._inner.probe()

    def configure(self, settings: Settings) -> None:
        self._node_ips = _node_ips(settings)
        self._inner.configure(settings)

    def render(self, key: Key, old: Rules | None, new: Rules | None) -> Ops:
        return key, old, new

    async def load(self, ops: Sequence[Ops]) -> None:
        """Portals first, so that a rule never leads nowhere; old portals last."""
        before = {key: self._through(old) for key, old, _ in ops}
        had = {name for _, old, _ in ops for name in portals(old)}
        wanted = {name: one for _, _, new in ops for name, one in portals(new).items()}
        changed = [one for _, old, new in ops for one in _changed(portals(old), portals(new))]
        if changed:
            await self._ask({"portals": changed})
        rules = [self._inner.render(key, before[key], self._through(new)) for key, _, new in ops]
        await self._inner.load(rules)
        gone = sorted(had - wanted.keys())
        if gone:
            await self._ask({"close": gone})

    async def resync(self, model: Mapping[Key, Rules]) -> None:
        wanted = {name: one for rules in model.values() for name, one in portals(rules).items()}
        self._numbers = {}
        await self._ask({"portals": wanted.values()})
        led = {key: self._through(rules) for key, rules in model.items()}
        await self._inner.resync({key: rules for key, rules in led.items() if rules})
        await self._ask({"only": sorted(wanted)})

    async def cleanup(self) -> None:
        await self._helper.close()

    async def disturbed(self) -> None:
        """The rules were touched, or the moving process ended: then all portals are new."""
        await first_of(self._inner.disturbed(), self._helper.ended())

    def _through(self, rules: Rules | None) -> Rules | None:
        return through(rules, self._numbers, self._node_ips)

    async def _ask(self, question: Mapping[str, Any]) -> None:
        words = dict(question)
        words["portals"] = [_json(one) for one in question.get("portals", ())]
        words["addresses"] = {str(family): ip for family, ip in self._node_ips.items()}
        words["portals"] = [one for one in words["portals"] if one["family"] in self._node_ips]
        try:
            answer = await self._helper.ask(words)
        except HelperError as error:
            raise BackendError(f"userspace: {error}") from error
        if answer["errors"]:
            name, why = next(iter(answer["errors"].items()))
            raise BackendError(f"userspace: portal {name}: {why}")
        self._numbers.update(answer["numbers"])
        for name in words.get("close", ()):
            self._numbers.pop(name, None)


def _json(portal: Portal) -> dict[str, Any]:
    return portal.as_json()


def _changed(old: Mapping[str, Portal], new: Mapping[str, Portal]) -> Iterable[Portal]:
    return [portal for name, portal in new.items() if old.get(name) != portal]


def _node_ips(settings: Settings) -> dict[int, str]:
    """The address of the node in each family, at which its portals are."""
    return {one.family: one.node_ips[0] for one in settings.families if one.node_ips}
