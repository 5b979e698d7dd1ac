"""The tracker: what is known of Services and slices, which of them changed, and the model.

Handlers only mark; `take` plans the marked ones. Its cost is that of the Services marked,
however many others there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sampan.api.meta import Json, Key, key_of
from sampan.proxy.model import Frontend, Rules, claims
from sampan.proxy.plan import plan, settle, slice_of
from sampan.services.answer import Place
from sampan.services.slices import Slice
from sampan.std import log

_LOG = log.get("proxy")


class Change(NamedTuple):
    """One Service that means something else now."""

    key: Key
    old: Rules | None
    new: Rules | None


class Tracker:
    """`model` is what the backend has been told, once it has loaded the last changes taken."""

    def __init__(self, place: Place) -> None:
        self.model: dict[Key, Rules] = {}
        self._place = place
        self._services: dict[Key, Json] = {}
        self._slices: dict[Key, dict[Key, Slice]] = {}
        self._planned: dict[Key, Rules] = {}
        self._claims: dict[Frontend, dict[Key, str]] = {}
        self._dirty: dict[Key, None] = {}

    def __len__(self) -> int:
        """How many Services wait for `take`."""
        return len(self._dirty)

    def move(self, place: Place) -> None:
        """The node got another zone: every answer may change."""
        if place != self._place:
            self._place = place
            self._dirty.update(dict.fromkeys(self._services))

    def service(self, old: Json | None, new: Json | None) -> None:
        obj = new or old
        if obj is None:
            return
        key = key_of(obj)
        if new is None:
            self._services.pop(key, None)
        else:
            self._services[key] = new
        self._dirty[key] = None

    def slice(self, old: Json | None, new: Json | None) -> None:
        """A slice may move to another Service, which changes both."""
        before = slice_of(old) if old else None
        after = slice_of(new) if new else None
        if before is not None and (after is None or after.service != before.service):
            rest = self._slices.get(before.service, {})
            rest.pop(key_of(old or {}), None)
            if not rest:
                self._slices.pop(before.service, None)
            self._dirty[before.service] = None
        if after is not None and new is not None:
            self._slices.setdefault(after.service, {})[key_of(new)] = after
            self._dirty[after.service] = None

    def take(self) -> list[Change]:
        """Plan what is marked; the changes, with the model already brought up to date."""
        marked, self._dirty = self._dirty, {}
        touched = dict.fromkeys(marked)
        for key in marked:
            touched.update(dict.fromkeys(self._replan(key)))
        changes = []
        for key in touched:
            old, new = self.model.get(key), self._settled(key)
            if old == new:
                continue
            if new is None:
                del self.model[key]
            else:
                self.model[key] = new
            changes.append(Change(key, old, new))
        return changes

    def _replan(self, key: Key) -> Iterable[Key]:
        """Plan one Service anew; returns others that its frontends concern."""
        obj = self._services.get(key)
        rules = None
        if obj is not None:
            slices = self._slices.get(key)
            try:
                rules = plan(obj, slices.values() if slices else (), self._place)
            except (KeyError, TypeError, ValueError) as error:
                _LOG.error("a Service cannot be planned", exc=error, service=key)
        old = self._planned.get(key)
        if rules is None:
            self._planned.pop(key, None)
        else:
            self._planned[key] = rules
        return self._claim(key, old, rules)

    def _claim(self, key: Key, old: Rules | None, new: Rules | None) -> Iterable[Key]:
        before = claims(old) if old else frozenset()
        after = claims(new) if new else frozenset()
        others: list[Key] = []
        for frontend in before - after:
            holders = self._claims[frontend]
            del holders[key]
            others += holders
            if not holders:
                del self._claims[frontend]
        for frontend in after:
            holders = self._claims.setdefault(frontend, {})
            others += holders
            holders[key] = new.created if new else ""
        return others

    def _settled(self, key: Key) -> Rules | None:
        """Of several Services that claim an address and port, the oldest has it."""
        rules = self._planned.get(key)
        if rules is None:
            return None
        lost = frozenset(
            frontend
            for frontend in claims(rules)
            if len(holders := self._claims[frontend]) > 1
            and min((created, other) for other, created in holders.items())[1] != key
        )
        return settle(rules, lost)
