"""The IPVS backend: virtual servers by netlink, sets by ipset, rules once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sampan.api.meta import Key
from sampan.linux.base import iptables_text as text
from sampan.linux.base.ipset import IpsetError, Ipsets
from sampan.linux.base.iptables import Iptables, IptablesError
from sampan.linux.base.ipvs import Destination, Ipvs, IpvsError, Serving, VirtualServer
from sampan.proxy.backend import Aside, BackendError
from sampan.proxy.backends.ipvs.layout import (
    CANARY,
    DEVICE,
    JUMPS,
    KINDS,
    STRICT_ARP,
    SYSCTLS,
    chains,
    create,
    set_name,
)
from sampan.proxy.backends.ipvs.render import SCHEDULERS, State, state, together
from sampan.proxy.model import Rules
from sampan.proxy.noticing import looked_at
from sampan.proxy.settings import Settings, contains

Ops = tuple[Key, Rules | None, Rules | None]
Result = TypeVar("Result")
Staying = Mapping[VirtualServer, frozenset[tuple[str, int]]]
Entry = tuple[str, str]
"""A set's name and an entry; an empty name stands for an address of the device."""


@dataclass(frozen=True, slots=True)
class Options:
    """The mode's own part of the configuration."""

    scheduler: str = "rr"
    strict_arp: bool = False
    exclude: tuple[str, ...] = ()
    """Virtual servers in these ranges are somebody else's."""


DEFAULTS = Options()


class IpvsBackend:
    """Implements `Backend[Ops]`."""

    name = "ipvs"

    def __init__(
        self,
        ipvs: Ipvs,
        ipsets: Ipsets,
        tools: Sequence[Iptables],
        options: Options = DEFAULTS,
        *,
        aside: Aside = asyncio.to_thread,
    ) -> None:
        self._ipvs = ipvs
        self._ipsets = ipsets
        self._tools = tuple(tools)
        self._settings = Settings("")
        self._scheduler = options.scheduler or "rr"
        self._sysctls = {**SYSCTLS, **(STRICT_ARP if options.strict_arp else {})}
        self._exclude = options.exclude
        self._aside = aside
        self._states: dict[Key, State] = {}
        self._shared: Counter[Entry] = Counter()
        self._draining: dict[VirtualServer, dict[tuple[str, int], None]] = {}
        self._fingerprints: dict[int, bytes] = {}
        self._synced = False
        self._turn = asyncio.Lock()
        """One at a time: the kernel's answers are for the one who asked."""

    def probe(self) -> str:
        if self._scheduler not in SCHEDULERS:
            return f"ipvs.scheduler {self._scheduler!r} is none of {', '.join(SCHEDULERS)}"
        why = self._ipvs.probe()
        if why:
            return why
        try:
            self._ipsets.save()
            for tool in self._tools:
                tool.version()
        except (IpsetError, IptablesError) as error:
            return str(error)
        return ""

    def configure(self, settings: Settings) -> None:
        self._settings = settings

    def render(self, key: Key, old: Rules | None, new: Rules | None) -> Ops:
        return key, old, new

    async def load(self, ops: Sequence[Ops]) -> None:
        await self._beside(self._load, ops)

    async def resync(self, model: Mapping[Key, Rules]) -> None:
        await self._beside(self._resync, model)

    async def cleanup(self) -> None:
        await self._beside(self._cleanup)

    async def disturbed(self) -> None:
        """Sweep drained destinations; return when servers, addresses, sets or rules were touched.
        Of IPVS and ipsets the kernel tells nothing: one has to look.
        """
        await looked_at(lambda: self._beside(self._sweep))

    async def _beside(self, work: Callable[..., Result], *args: Any) -> Result:
        try:
            async with self._turn:
                found: Result = await self._aside(work, *args)
        except (IpvsError, IpsetError, IptablesError) as error:
            raise BackendError(f"ipvs: {error}") from error
        return found

    # A change.

    def _load(self, ops: Sequence[Ops]) -> None:
        """Sets and addresses first, then servers; what is gone goes in the other order."""
        before = {key: self._states.get(key, State()) for key, _, _ in ops}
        after = {
            key: state(new, self._settings, self._scheduler) if new else State()
            for key, _, new in ops
        }
        had, have = together(before.values()), together(after.values())
        added, gone = self._count(before.values(), after.values())
        self._ipsets.restore(_script("add", added))
        self._ipvs.hold(DEVICE, _addresses(added), ())
        there = {server: self._with_draining(server, one) for server, one in had.servers.items()}
        changed = {
            server: self._drained(server, had.servers.get(server), serving, have.staying)
            for server, serving in have.servers.items()
            if had.servers.get(server) != serving
            or had.staying.get(server) != have.staying.get(server)
        }
        self._ipvs.put(changed, there)
        dead = sorted(had.servers.keys() - have.servers.keys())
        self._ipvs.remove(dead)
        for server in dead:
            self._draining.pop(server, None)
        self._ipvs.hold(DEVICE, (), _addresses(gone))
        self._ipsets.restore(_script("del", gone))
        for key, one in after.items():
            if one.servers:
                self._states[key] = one
            else:
                self._states.pop(key, None)

    def _count(
        self, before: Iterable[State], after: Iterable[State]
    ) -> tuple[list[Entry], list[Entry]]:
        """Entries and addresses that come and go; several Services may want the same one."""
        touched: dict[Entry, int] = {}
        for states, step in ((before, -1), (after, 1)):
            for one in states:
                for entry in _counted(one):
                    touched.setdefault(entry, self._shared[entry])
                    self._shared[entry] += step
        added = [entry for entry, had in touched.items() if not had and self._shared[entry]]
        gone = [entry for entry, had in touched.items() if had and not self._shared[entry]]
        for entry in gone:
            del self._shared[entry]
        return sorted(added), sorted(gone)

    def _drained(
        self, server: VirtualServer, old: Serving | None, new: Serving, staying: Staying
    ) -> Serving:
        """Destinations that went keep their connections at weight 0; those of UDP only while they
        serve.
        """
        left = _left(server, old, new, staying)
        before = self._draining.get(server, {})
        wanted = {(one.ip, one.port) for one in new.destinations}
        self._draining[server] = {
            end: None
            for end in (*before, *left)
            if end not in wanted and end in staying.get(server, (end,))
        }
        return self._with_draining(server, new)

    def _with_draining(self, server: VirtualServer, serving: Serving) -> Serving:
        left = tuple(Destination(ip, port, 0) for ip, port in self._draining.get(server, ()))
        return serving._replace(destinations=(*serving.destinations, *left)) if left else serving

    def _sweep(self) -> bool:
        """Take out destinations whose last connection has ended; True if rules are missing."""
        current = {
            server: serving
            for one in self._states.values()
            for server, serving in one.servers.items()
            if self._draining.get(server)
        }
        for server, serving in current.items():
            counts = self._ipvs.connections(server)
            before = self._with_draining(server, serving)
            for end in [end for end in self._draining[server] if not counts.get(end)]:
                del self._draining[server][end]
            after = self._with_draining(server, serving)
            if after != before:
                self._ipvs.put({server: after}, {server: before})
        return self._synced and (self._flushed() or self._touched())

    def _flushed(self) -> bool:
        for tool in self._tools:
            settings = self._settings.family(tool.family)
            now = tool.fingerprint()
            if settings is None or now == self._fingerprints.get(tool.family):
                continue
            have = text.parse(tool.save())
            if text.missing_jumps(have, JUMPS) or any(
                have.get((chain.table, chain.name)) != chain.rules for chain in chains(settings)
            ):
                return True
            self._fingerprints[tool.family] = now
        return False

    def _touched(self) -> bool:
        """Whether servers, addresses or sets are other ones than ours."""
        whole = together(self._states.values())
        wanted = {one: self._with_draining(one, serving) for one, serving in whole.servers.items()}
        there = self._ours()
        if there.keys() != wanted.keys() or not all(
            _alike(there[one], serving) for one, serving in wanted.items()
        ):
            return True
        if self._ipvs.addresses(DEVICE) != frozenset(whole.addresses):
            return True
        have, known = _read(self._ipsets.save())
        ours = {set_name(base, one.family) for one in self._settings.families for base in KINDS}
        return not ours <= known or {one for one in have if one[0] in ours} != set(whole.entries)

    # Everything.

    def _resync(self, model: Mapping[Key, Rules]) -> None:
        self._ipvs.tune(self._sysctls)
        self._ipvs.hold(DEVICE, (), ())
        self._states = {
            key: state(rules, self._settings, self._scheduler) for key, rules in model.items()
        }
        whole = together(self._states.values())
        self._shared = Counter(entry for one in self._states.values() for entry in _counted(one))
        self._sync_sets(whole.entries)
        self._sync_rules()
        held = self._ipvs.addresses(DEVICE)
        self._ipvs.hold(DEVICE, sorted(whole.addresses - held), ())
        there = self._ours()
        self._draining = {
            server: _left(server, there[server], serving, whole.staying)
            for server, serving in whole.servers.items()
            if server in there
        }
        drained = {one: self._with_draining(one, s) for one, s in whole.servers.items()}
        wanted = {one: s for one, s in drained.items() if not _alike(there.get(one), s)}
        self._ipvs.put(wanted, there)
        self._ipvs.remove(sorted(there.keys() - whole.servers.keys()))
        self._ipvs.hold(DEVICE, (), sorted(held - whole.addresses))
        self._synced = True

    def _ours(self) -> dict[VirtualServer, Serving]:
        """All virtual servers but those that the configuration excludes."""
        return {
            server: serving
            for server, serving in self._ipvs.servers().items()
            if not any(contains(cidr, server.ip) for cidr in self._exclude)
        }

    def _sync_sets(self, wanted: set[tuple[str, str]]) -> None:
        have, known = _read(self._ipsets.save())
        lines = [
            create(base, one.family)
            for one in self._settings.families
            for base in KINDS
            if set_name(base, one.family) not in known
        ]
        ours = {set_name(base, one.family) for one in self._settings.families for base in KINDS}
        there = {(name, entry) for name, entry in have if name in ours}
        lines += _script("add", sorted(wanted - there)).splitlines()
        lines += _script("del", sorted(there - wanted)).splitlines()
        self._ipsets.restore("\n".join(lines) + "\n" if lines else "")

    def _sync_rules(self) -> None:
        for tool in self._tools:
            settings = self._settings.family(tool.family)
            if settings is None:
                continue
            have = text.parse(tool.save())
            wanted = chains(settings)
            names = {(chain.table, chain.name) for chain in wanted}
            write = [one for one in wanted if have.get((one.table, one.name)) != one.rules]
            gone = [where for where in have if where not in names and _stale(where)]
            others = {where: rules for where, rules in have.items() if not _stale(where)}
            stale = text.jump_removals(others, gone)
            script = text.script(write, gone, text.both(stale, text.missing_jumps(have, JUMPS)))
            if script:
                tool.restore(script)
            self._fingerprints[tool.family] = tool.fingerprint()

    def _cleanup(self) -> None:
        if not self._ipvs.holds(DEVICE):
            # The device comes first and goes last: without it nothing of this mode is here.
            return
        if not self._ipvs.probe():
            self._ipvs.remove(sorted(self._ours()))
        for tool in self._tools:
            have = text.parse(tool.save())
            gone = [where for where in have if where[1].startswith("KUBE-IPVS-") or where[1] in OWN]
            if any(name.startswith("KUBE-IPVS-") for _, name in gone):
                others = {where: rules for where, rules in have.items() if where not in gone}
                tool.restore(text.script([], gone, text.jump_removals(others, gone)))
        _, known = _read(self._ipsets.save())
        ours_sets = {set_name(base, family) for base in KINDS for family in (4, 6)}
        dead = sorted(known & ours_sets)
        self._ipsets.restore("".join(f"destroy {name}\n" for name in dead))
        self._ipvs.drop_device(DEVICE)
        self._states, self._synced = {}, False


OWN = frozenset(
    {
        "KUBE-SERVICES",
        "KUBE-NODE-PORT",
        "KUBE-LOAD-BALANCER",
        "KUBE-MARK-MASQ",
        "KUBE-POSTROUTING",
        "KUBE-FORWARD",
        "KUBE-PROXY-FIREWALL",
        "KUBE-SOURCE-RANGES-FIREWALL",
        CANARY,
    }
)


def _stale(where: tuple[str, str]) -> bool:
    """Chains of the proxy in any mode; the kubelet's and network policies' are not."""
    foreign = ("KUBE-KUBELET-", "KUBE-NWPLCY", "KUBE-POD-FW", "KUBE-ROUTER")
    return where[1].startswith("KUBE-") and not where[1].startswith(foreign)


def _script(verb: str, entries: Iterable[Entry]) -> str:
    return "".join(f"{verb} {name} {entry}\n" for name, entry in entries if name)


def _counted(one: State) -> Iterator[Entry]:
    yield from one.entries
    yield from (("", ip) for ip in one.addresses)


def _addresses(entries: Iterable[Entry]) -> list[str]:
    return [ip for name, ip in entries if not name]


def _left(
    server: VirtualServer, have: Serving | None, want: Serving, staying: Staying
) -> dict[tuple[str, int], None]:
    """Destinations from before that still may have connections: these go on, as at any change."""
    wanted = {(one.ip, one.port) for one in want.destinations}
    ends = ((one.ip, one.port) for one in (have.destinations if have else ()))
    return {end: None for end in ends if end not in wanted and end in staying.get(server, (end,))}


def _alike(have: Serving | None, want: Serving) -> bool:
    """The order of destinations is the kernel's own."""
    return (
        have is not None
        and have[:2] == want[:2]
        and sorted(have.destinations) == sorted(want.destinations)
    )


def _read(saved: str) -> tuple[set[tuple[str, str]], set[str]]:
    """Entries and names of `ipset save` text."""
    entries, names = set(), set()
    for line in saved.splitlines():
        words = line.split(" ")
        if words[0] == "create":
            names.add(words[1])
        elif words[0] == "add":
            entries.add((words[1], words[2]))
    return entries, names
