"""The iptables backend: a shadow of the chains, and iptables-restore for what differs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sampan.api.meta import Key
from sampan.linux.base import iptables_text as text
from sampan.linux.base.iptables import Iptables, IptablesError
from sampan.linux.base.iptables_text import Chain
from sampan.proxy.backend import BackendError
from sampan.proxy.backends.iptables.layout import (
    CANARY,
    DIVIDE_FROM,
    JUMPS,
    PREFIX,
    UNDIVIDE_BELOW,
    WHOLE,
    Division,
    division,
    fixed,
    hub_chains,
    portions,
    removals,
)
from sampan.proxy.backends.iptables.rules import (
    HUBS,
    SERVICES,
    Entry,
    Hub,
    Pieces,
    endpoints,
    pieces,
)
from sampan.proxy.model import Rules
from sampan.proxy.noticing import looked_at
from sampan.proxy.settings import FamilySettings, Settings
from sampan.std import log

_LOG = log.get("proxy")
SLOW_FROM = 1000
PORTION = 1000
"""So many chains at once on nf_tables: its program takes time by their number squared."""
TERSE_ABOVE = 1000
"""With more endpoints than this, what each of them has goes without comments, as upstream's."""
Result = TypeVar("Result")
Ops = tuple[Key, Rules | None, Rules | None]


@dataclass(slots=True)
class _Family:
    """The shadow of one family."""

    settings: FamilySettings
    tool: Iptables
    how: Division = WHOLE
    hubs: dict[Hub, dict[Key, tuple[Entry, ...]]] = field(default_factory=dict)
    own: dict[Key, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    emitted: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """The hubs and their parts as they were last written."""
    endpoints: int = 0
    fingerprint: bytes = b""

    def put(self, key: Key, new: Pieces | None) -> set[Hub]:
        """Take a Service's new pieces in; the hubs in which it stood or stands."""
        touched = set()
        for hub in HUBS:
            entries = new.hubs.get(hub, ()) if new else ()
            known = self.hubs.setdefault(hub, {})
            if known.get(key, ()) != entries:
                touched.add(hub)
                if entries:
                    known[key] = entries
                else:
                    del known[key]
        if new and new.chains:
            self.own[key] = new.chains
        else:
            self.own.pop(key, None)
        return touched

    @property
    def terse(self) -> bool:
        return self.endpoints > TERSE_ABOVE

    def count(self, old: Rules | None, new: Rules | None) -> None:
        family = self.settings.family
        self.endpoints += endpoints(new, family) if new else 0
        self.endpoints -= endpoints(old, family) if old else 0

    def divide(self, count: int) -> None:
        addresses = {
            entry.where for entries in self.hubs.get(SERVICES, {}).values() for entry in entries
        }
        self.how = division(addresses, self.settings.family, count)

    def hub(self, hub: Hub) -> list[Chain]:
        return hub_chains(hub, self.hubs.get(hub, {}), self.how, self.settings)


class IptablesBackend:
    """Implements `Backend[Ops]` for both families."""

    name = "iptables"

    def __init__(self, tools: Sequence[Iptables], settings: Settings) -> None:
        self._tools = tuple(tools)
        self._settings = settings
        self._families: list[_Family] = []
        self._turn = asyncio.Lock()
        self._model: dict[Key, Rules] = {}
        self.written: dict[tuple[int, str], int] = {}
        """Rules of the last transaction by family and table, for the figures."""

    def probe(self) -> str:
        try:
            versions = [tool.version() for tool in self._tools]
        except IptablesError as error:
            return str(error)
        return "" if versions else "iptables is missing; install the package iptables"

    def configure(self, settings: Settings) -> None:
        self._settings = settings

    def render(self, key: Key, old: Rules | None, new: Rules | None) -> Ops:
        return key, old, new

    async def load(self, ops: Sequence[Ops]) -> None:
        await self._in_thread(self._load, ops)

    async def resync(self, model: Mapping[Key, Rules]) -> None:
        await self._in_thread(self._resync, model)

    async def cleanup(self) -> None:
        await self._in_thread(self._cleanup)

    async def disturbed(self) -> None:
        """Look at a cheap fingerprint, and at the chains only when it has changed."""
        await looked_at(lambda: self._in_thread(self._lost))

    def totals(self) -> dict[tuple[int, str], int]:
        """How many rules there are, by family and table."""
        found: dict[tuple[int, str], int] = {}
        for one in self._families:
            family = one.settings.family
            services = sum(len(rules) for own in one.own.values() for rules in own.values())
            found[family, "nat"] = services
            for (table, _), rules in one.emitted.items():
                found[family, table] = found.get((family, table), 0) + len(rules)
        return found

    def packets(self, words: str) -> float:
        """How many packets met the rules that hold these words, IPv4 only as upstream counts."""
        try:
            saved = self._tools[0].save(counters=True)
        except IptablesError:
            return 0
        return text.packets(saved, words)

    async def _in_thread(self, work: Callable[..., Result], *args: Any) -> Result:
        try:
            async with self._turn:
                return await asyncio.to_thread(work, *args)
        except IptablesError as error:
            raise BackendError(str(error)) from error

    # A change.

    def _load(self, ops: Sequence[Ops]) -> None:
        for key, _, new in ops:
            if new is None:
                self._model.pop(key, None)
            else:
                self._model[key] = new
        for one in self._families:
            self._load_family(one, ops)

    def _load_family(self, one: _Family, ops: Sequence[Ops]) -> None:
        write: dict[str, Chain] = {}
        gone: set[str] = set()
        touched: set[Hub] = set()
        terse = one.terse
        for _, old, new in ops:
            one.count(old, new)
        changed = {key: new for key, _, new in ops}
        if one.terse != terse:
            changed |= self._model
        for key, new in changed.items():
            made = pieces(new, one.settings, terse=one.terse) if new else None
            before = one.own.get(key, {})
            touched |= one.put(key, made)
            after = one.own.get(key, {})
            for name, rules in after.items():
                if before.get(name) != rules:
                    write[name] = Chain("nat", name, rules)
            gone |= before.keys() - after.keys()
        gone -= write.keys()
        if self._must_redivide(one):
            one.divide(len(self._model))
            touched = set(HUBS)
        hubs, dead = self._changed_hubs(one, touched)
        self._restore(one, [*write.values(), *hubs], [*(("nat", n) for n in gone), *dead])

    def _must_redivide(self, one: _Family) -> bool:
        if one.how.prefix:
            return len(self._model) < UNDIVIDE_BELOW
        return len(self._model) >= DIVIDE_FROM

    def _changed_hubs(
        self, one: _Family, touched: Iterable[Hub]
    ) -> tuple[list[Chain], list[tuple[str, str]]]:
        """The hubs and parts whose rules differ from what was written, and parts to delete."""
        write: list[Chain] = []
        dead: list[tuple[str, str]] = []
        for hub in touched:
            made = one.hub(hub)
            names = {(chain.table, chain.name) for chain in made}
            stale = [
                where for where in one.emitted if where not in names and _part_of(where[1]) == hub
            ]
            for where in stale:
                del one.emitted[where]
            dead += stale
            for chain in made:
                if one.emitted.get((chain.table, chain.name)) != chain.rules:
                    one.emitted[chain.table, chain.name] = chain.rules
                    write.append(chain)
        return write, dead

    def _restore(
        self, one: _Family, write: Sequence[Chain], remove: Sequence[tuple[str, str]]
    ) -> None:
        if _tell(one.tool, write, remove, {}):
            one.fingerprint = one.tool.fingerprint()
            self._note(one, write)

    def _note(self, one: _Family, write: Sequence[Chain]) -> None:
        for table in ("filter", "nat"):
            self.written[one.settings.family, table] = sum(
                len(chain.rules) for chain in write if chain.table == table
            )

    # Everything.

    def chains(
        self, model: Mapping[Key, Rules], family: int, how: Division | None = None
    ) -> list[Chain]:
        """All chains of a family for a model; `how` decides the division of hubs."""
        one = self._fresh(model, family)
        one.how = one.how if how is None else how
        return self._all(one)

    def _fresh(self, model: Mapping[Key, Rules], family: int) -> _Family:
        settings = self._settings.family(family)
        tool = next((tool for tool in self._tools if tool.family == family), None)
        if settings is None or tool is None:
            raise IptablesError(f"there is no iptables for IPv{family}")
        one = _Family(settings, tool)
        for rules in model.values():
            one.count(None, rules)
        for key, rules in model.items():
            one.put(key, pieces(rules, settings, terse=one.terse))
        one.divide(len(model))
        return one

    def _all(self, one: _Family) -> list[Chain]:
        hubs = [chain for hub in HUBS for chain in one.hub(hub)]
        one.emitted = {(chain.table, chain.name): chain.rules for chain in hubs}
        own = [
            Chain("nat", name, rules) for some in one.own.values() for name, rules in some.items()
        ]
        return [*fixed(one.settings), *own, *hubs]

    def _resync(self, model: Mapping[Key, Rules]) -> None:
        self._model = dict(model)
        self._families = []
        for tool in self._tools:
            if self._settings.family(tool.family) is None:
                continue
            one = self._fresh(model, tool.family)
            self._families.append(one)
            self._sync_family(one)
        if len(model) >= SLOW_FROM and "nf_tables" in self._tools[0].version():
            _LOG.warning(
                "iptables on nf_tables is slow with many Services; nftables mode is not",
                services=len(model),
            )

    def _sync_family(self, one: _Family) -> None:
        if one.settings.localhost_node_ports:
            one.tool.allow_localnet()
        have = text.parse(one.tool.save())
        known = _ours(have)
        wanted = self._all(one)
        names = {(chain.table, chain.name) for chain in wanted}
        write = [chain for chain in wanted if known.get((chain.table, chain.name)) != chain.rules]
        gone = [where for where in known if where not in names and _removable(where)]
        stale = text.jump_removals(_others(have), gone)
        _tell(one.tool, write, gone, text.both(stale, text.missing_jumps(have, JUMPS)))
        one.fingerprint = one.tool.fingerprint()
        self._note(one, write)

    def _lost(self) -> bool:
        """Whether somebody flushed or deleted our chains."""
        for one in self._families:
            now = one.tool.fingerprint()
            if now == one.fingerprint:
                continue
            have = text.parse(one.tool.save())
            tables = ("mangle", "filter", "nat")
            if any((table, CANARY) not in have for table in tables) or text.missing_jumps(
                have, JUMPS
            ):
                return True
            if any(have.get((chain.table, chain.name)) != chain.rules for chain in self._all(one)):
                return True
            one.fingerprint = now
        return False

    def _cleanup(self) -> None:
        for tool in self._tools:
            try:
                have = text.parse(tool.save())
            except IptablesError:
                # Without the program there is nothing that it could have made.
                continue
            gone = [where for where in _ours(have) if _removable(where)]
            jumps = text.jump_removals(_others(have), gone)
            if gone or jumps:
                tool.restore(text.script([], gone, jumps))
        self._families = []


def _tell(
    tool: Iptables,
    write: Sequence[Chain],
    remove: Sequence[tuple[str, str]],
    jumps: Mapping[str, Sequence[str]],
) -> bool:
    """Restore chains, in portions where the nf_tables variant would be slow; whether there was
    anything to do.
    """
    size = PORTION if "nf_tables" in tool.version() else 0
    *first, last = portions(write, size)
    gone, *later = removals(remove, size)
    scripts = [
        *(text.script(some, [], {}) for some in first),
        text.script(last, gone, jumps),
        *(text.script([], some, {}) for some in later),
    ]
    for made in scripts:
        if made:
            tool.restore(made)
    return any(scripts)


def _part_of(name: str) -> Hub | None:
    if name.startswith("KUBE-PART-"):
        return SERVICES
    return ("nat", "KUBE-NODEPORTS") if name.startswith("KUBE-PORTS-") else None


def _ours(chains: text.Chains) -> text.Chains:
    """The chains that are the proxy's, whichever mode or version made them."""
    return {where: rules for where, rules in chains.items() if where[1].startswith(PREFIX)}


def _others(chains: text.Chains) -> text.Chains:
    """The chains that are somebody else's: jumps from these to ours must go before ours do."""
    return {where: rules for where, rules in chains.items() if not where[1].startswith(PREFIX)}


def _removable(where: tuple[str, str]) -> bool:
    """Chains of the kubelet and of network policies are not the proxy's."""
    return not where[1].startswith(("KUBE-KUBELET-", "KUBE-NWPLCY", "KUBE-POD-FW", "KUBE-ROUTER"))
