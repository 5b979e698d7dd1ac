"""The nftables backend: keeps a shadow of what the kernel holds, and loads differences.

A normal change is one raw transaction of a few elements. Rules change only when the first Service
with a new number of endpoints comes, or one with session affinity.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sampan.api.meta import Key
from sampan.linux.base.nft import Element, Nft, NftError, SetRef, Watch, pack_field, unpack
from sampan.linux.base.nft_text import Script, Table, difference, parse, text
from sampan.proxy.backend import Aside, BackendError
from sampan.proxy.backends.nftables.layout import (
    GROUPS,
    HUBS,
    NAME,
    WORDS,
    class_chain,
    class_map,
    hub,
    table,
)
from sampan.proxy.backends.nftables.render import SHARED, Item, Ops, render, state
from sampan.proxy.model import Rules
from sampan.proxy.noticing import readable
from sampan.proxy.settings import FamilySettings, Settings

LARGE = 2000
"""More elements than this are loaded in a thread: the event loop must go on."""
EMPTY_CLASSES = 8
"""So many maps without a Service may stay: a number of endpoints often comes back."""
FAMILIES = {words: family for family, words in WORDS.items()}


class NftablesBackend:
    """Implements `Backend[Ops]` on the nftables of one network namespace."""

    name = "nftables"

    def __init__(self, nft: Nft, settings: Settings, *, aside: Aside = asyncio.to_thread) -> None:
        self._nft = nft
        self._aside = aside
        self._settings = settings
        self._shared: Counter[tuple[int, str, bytes]] = Counter()
        self._classes: dict[int, Counter[str]] = {}
        self._known: dict[int, set[str]] = {}
        self._watch: Watch | None = None

    def probe(self) -> str:
        try:
            # Asking is enough: nftables lets nobody look who may not write.
            self._nft.listing("ip", NAME)
        except NftError as error:
            return f"nftables cannot be used: {error}"
        return ""

    def configure(self, settings: Settings) -> None:
        self._settings = settings

    def render(self, key: Key, old: Rules | None, new: Rules | None) -> Ops:
        return render(old, new)

    async def load(self, ops: Sequence[Ops]) -> None:
        size = sum(len(one.add) + len(one.delete) for one in ops)
        try:
            if size > LARGE:
                await self._aside(self._load, ops)
            else:
                self._load(ops)
        except NftError as error:
            raise BackendError(f"nftables: {error}") from error

    async def resync(self, model: Mapping[Key, Rules]) -> None:
        try:
            await self._aside(self._resync, model)
        except NftError as error:
            raise BackendError(f"nftables: {error}") from error

    async def cleanup(self) -> None:
        self._unwatch()
        try:
            await self._aside(self._cleanup)
        except NftError as error:
            raise BackendError(f"nftables: {error}") from error

    def _cleanup(self) -> None:
        """Nothing is written where nothing is."""
        there = [words for words in FAMILIES if self._nft.listing(words, NAME)]
        self._run([f"delete table {words} {NAME}" for words in there])

    async def disturbed(self) -> None:
        """Wait on the kernel's notifications, which leave our own transactions out."""
        while True:
            if self._watch is None:
                self._watch = self._nft.watch([(words, NAME) for words in FAMILIES])
            await readable(self._watch.fileno())
            if self._watch.foreign():
                return

    # A change.

    def _load(self, ops: Sequence[Ops]) -> None:
        delete: dict[SetRef, list[Element]] = {}
        late: dict[SetRef, list[Element]] = {}
        add: dict[SetRef, list[Element]] = {}
        for one in ops:
            moved = _moved(one)
            self._collect((item for item in one.delete if item not in moved), delete, -1)
            self._collect(moved, late, -1)
        for one in ops:
            self._collect(one.add, add, 1)
        scripts = [script for one in ops for script in one.script]
        first = [line for script in scripts for line in script.first]
        self._run([*self._new_classes(add), *first])
        if delete or add:
            self._nft.commit(delete, add)
        if late:
            self._nft.commit(late, {})
        self._run([line for script in scripts for line in script.last])
        self._drop_classes()

    def _collect(self, items: Iterable[Item], into: dict[SetRef, list[Element]], step: int) -> None:
        """Sort elements by set; count those that Services share, and the classes in use."""
        families = {one.family for one in self._settings.families}
        last: tuple[int, str] | None = None
        found: list[Element] = []
        for family, name, element in items:
            if family not in families:
                continue
            if name in SHARED:
                shared = (family, name, element.key)
                self._shared[shared] += step
                if self._shared[shared] != (1 if step > 0 else 0):
                    continue
                if step < 0:
                    del self._shared[shared]
            elif element.data:
                self._classes.setdefault(family, Counter())[name] += step
            if last != (family, name):
                # The endpoints of a Service follow each other.
                last = (family, name)
                found = into.setdefault(SetRef(WORDS[family], NAME, name), [])
            found.append(element)

    def _new_classes(self, add: Mapping[SetRef, Sequence[Element]]) -> list[str]:
        """Maps, chains and jumps for numbers of endpoints that were not in use."""
        lines: list[str] = []
        for family, known in self._known.items():
            words = WORDS[family]
            fresh = {
                ref.name
                for ref, elements in add.items()
                if ref.family == words and elements[0].data and ref.name not in known
            }
            if fresh:
                before = self._class_table(family, known)
                known |= fresh
                lines += difference(before, self._class_table(family, known)).first
        return lines

    def _drop_classes(self) -> None:
        for family, known in self._known.items():
            used = self._classes.get(family, Counter())
            empty = {name for name in known if not used[name]}
            if len(empty) > EMPTY_CLASSES:
                before = self._class_table(family, known)
                known -= empty
                script = difference(before, self._class_table(family, known))
                self._run(script.first)
                self._run(script.last)

    def _class_table(self, family: int, names: Iterable[str]) -> Table:
        """The part of a table that depends on which numbers of endpoints are in use."""
        made = Table(WORDS[family], NAME)
        counts: dict[str, list[int]] = {group: [] for group in GROUPS}
        parts = sorted(
            (group, int(count)) for group, _, count in (n.rpartition("-") for n in names)
        )
        for group, count in parts:
            name = f"{group}-{count}"
            counts[group].append(count)
            made.sets[name] = class_map(group, count, family)
            made.chains[f"{GROUPS[group]}-{count}"] = class_chain(group, count, family)
        for group, chain in HUBS.items():
            made.chains[chain] = hub(group, self._order(family, group, counts[group]), family)
        return made

    def _order(self, family: int, group: str, counts: list[int]) -> tuple[int, ...]:
        """The classes that most Services have come first: a packet tries them in turn."""
        used = self._classes.get(family, Counter())
        return tuple(sorted(counts, key=lambda count: (-used[f"{group}-{count}"] // count, count)))

    def _run(self, lines: Sequence[str]) -> None:
        if lines:
            self._nft.run("\n".join(lines))

    # Everything.

    def wanted(self, model: Mapping[Key, Rules]) -> dict[int, Table]:
        """The whole tables of a model, and the counts that belong to them."""
        self._shared.clear()
        self._classes = {}
        tables = {one.family: _with_ips(table(one), one) for one in self._settings.families}
        collected: dict[SetRef, list[Element]] = {}
        for rules in model.values():
            one = state(rules)
            self._collect(one.items, collected, 1)
            for family, extra in one.tables.items():
                if family in tables:
                    _merge(tables[family], extra)
        while collected:
            ref, elements = collected.popitem()
            tables[FAMILIES[ref.family]].elements[ref.name] = {one[0]: one for one in elements}
        self._known = {}
        for family, made in tables.items():
            self._known[family] = set(self._classes.get(family, ()))
            _merge(made, self._class_table(family, self._known[family]))
        return tables

    def _resync(self, model: Mapping[Key, Rules]) -> None:
        for made in self.wanted(model).values():
            listed = parse(self._nft.listing(made.family, NAME))
            if listed and self._repaired(listed[0], made):
                continue
            self._replace(made, fresh=not listed)

    def _repaired(self, have: Table, want: Table) -> bool:
        """Bring a table that is still ours up to date, without a write where it is right; False
        if its frame is another, so that it must be replaced.
        """
        base = {name: spec for name, spec in want.chains.items() if spec.hook}
        if have.comment != want.comment or base != {
            name: spec for name, spec in have.chains.items() if spec.hook
        }:
            return False
        if any(have.sets[name] != want.sets[name] for name in have.sets if name in want.sets):
            return False
        for name, spec in have.sets.items():
            if "verdict" in spec.data_fields:
                # A terse listing leaves elements out.
                there = self._nft.elements(SetRef(have.family, NAME, name)).values()
                have.verdicts[name] = {
                    " . ".join(unpack(spec.fields, one.key)): one.data.decode() for one in there
                }
        before = _same_hubs(have, want)
        script = difference(before, want)
        self._run(script.first)
        delete: dict[SetRef, list[Element]] = {}
        add: dict[SetRef, list[Element]] = {}
        for name, spec in want.sets.items():
            if spec.dynamic or "verdict" in spec.data_fields:
                continue
            ref = SetRef(want.family, NAME, name)
            wished = want.elements.get(name, {})
            known = self._nft.elements(ref, wished) if name in have.sets else {}
            if known == wished:
                continue
            delete[ref] = [one for key, one in known.items() if wished.get(key) != one]
            add[ref] = [one for key, one in wished.items() if known.get(key) != one]
        if delete or add:
            self._nft.commit(delete, add)
        self._run(script.last)
        return True

    def _replace(self, made: Table, *, fresh: bool) -> None:
        """A new table in the place of whatever is there. An empty kernel is filled raw, which is
        faster; a table that is in use is replaced in one transaction, which leaves no gap.
        """
        start = f"add table {made.head}\ndelete table {made.head}\n"
        if not fresh:
            self._nft.run(start + text(made))
            return
        self._nft.run(start + text(made, elements=False))
        lines = [
            f"add element {made.head} {name} {{ {key} : {verdict} }}"
            for name, verdicts in made.verdicts.items()
            for key, verdict in verdicts.items()
        ]
        self._run(lines)
        add = {
            SetRef(made.family, NAME, name): list(elements.values())
            for name, elements in made.elements.items()
        }
        if add:
            self._nft.commit({}, add)

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None


def _moved(ops: Ops) -> frozenset[Item]:
    """Endpoints in the map of a number that a Service no longer has, while it has another one. A
    packet that tries one map before a transaction and the other one after it would find neither:
    so these go a transaction later.
    """
    added = {(family, name) for family, name, one in ops.add if one.data}
    groups = {(family, name.rpartition("-")[0]) for family, name in added}
    return frozenset(
        item
        for item in ops.delete
        if item[2].data
        and item[:2] not in added
        and (item[0], item[1].rpartition("-")[0]) in groups
    )


def _with_ips(made: Table, settings: FamilySettings) -> Table:
    if settings.node_port_ips:
        spec = made.sets["nodeport-ips"]
        for ip in settings.node_port_ips:
            element = Element(pack_field(spec.fields[0], ip))
            made.elements.setdefault("nodeport-ips", {})[element.key] = element
    return made


def _merge(into: Table, extra: Table) -> None:
    into.sets.update(extra.sets)
    into.chains.update(extra.chains)
    for name, verdicts in extra.verdicts.items():
        into.verdicts.setdefault(name, {}).update(verdicts)


def _same_hubs(have: Table, want: Table) -> Table:
    """The order in which classes are tried depends on the past: it is no difference."""
    for chain in HUBS.values():
        mine, theirs = have.chains.get(chain), want.chains.get(chain)
        if mine and theirs and sorted(mine.rules) == sorted(theirs.rules):
            have.chains[chain] = theirs
    return have


__all__ = ["NftablesBackend", "Script"]
