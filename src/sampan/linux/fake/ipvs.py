"""IPVS and ipset in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sampan.linux.base.ipset import IpsetError
from sampan.linux.base.ipvs import IpvsError, Serving, VirtualServer


class FakeIpvs:
    """Implements `Ipvs`; `open` is how many connections a destination has."""

    def __init__(self, lacking: str = "") -> None:
        self.table: dict[VirtualServer, Serving] = {}
        self.devices: dict[str, set[str]] = {}
        self.tuned: dict[str, int] = {}
        self.open: dict[tuple[str, int], int] = {}
        self.writes = 0
        self.refuse = ""
        self._lacking = lacking

    def probe(self) -> str:
        return self._lacking

    def servers(self) -> dict[VirtualServer, Serving]:
        return dict(self.table)

    def put(
        self, servers: Mapping[VirtualServer, Serving], there: Mapping[VirtualServer, Serving]
    ) -> None:
        self._refused()
        for one in servers:
            if self.table.get(one) != there.get(one):
                raise IpvsError(f"{one} is not as it was said to be")
        self.writes += len(servers)
        self.table.update(servers)

    def remove(self, servers: Iterable[VirtualServer]) -> None:
        self._refused()
        for one in servers:
            del self.table[one]
            self.writes += 1

    def connections(self, server: VirtualServer) -> dict[tuple[str, int], int]:
        ends = self.table[server].destinations
        return {(one.ip, one.port): self.open.get((one.ip, one.port), 0) for one in ends}

    def holds(self, device: str) -> bool:
        return device in self.devices

    def addresses(self, device: str) -> frozenset[str]:
        return frozenset(self.devices.get(device, ()))

    def hold(self, device: str, add: Iterable[str], remove: Iterable[str]) -> None:
        self._refused()
        self.writes += device not in self.devices
        held = self.devices.setdefault(device, set())
        before = set(held)
        held.difference_update(remove)
        held.update(add)
        self.writes += held != before

    def drop_device(self, device: str) -> None:
        self.devices.pop(device, None)

    def tune(self, values: Mapping[str, int]) -> None:
        self.tuned.update(values)

    def _refused(self) -> None:
        if self.refuse:
            word, self.refuse = self.refuse, ""
            raise IpvsError(word)


class FakeIpsets:
    """Implements `Ipsets`; `sets` holds the entries by name, `kinds` how each was made."""

    def __init__(self) -> None:
        self.sets: dict[str, set[str]] = {}
        self.kinds: dict[str, str] = {}
        self.writes = 0

    def save(self) -> str:
        lines = []
        for name, kind in self.kinds.items():
            lines.append(f"create {name} {kind}")
            lines += [f"add {name} {entry}" for entry in sorted(self.sets[name])]
        return "\n".join(lines) + "\n" if lines else ""

    def restore(self, script: str) -> None:
        for line in script.splitlines():
            verb, name, *rest = line.split(" ")
            self.writes += 1
            if verb == "create":
                if name in self.sets:
                    raise IpsetError(f"set {name} exists")
                self.sets[name] = set()
                self.kinds[name] = " ".join(rest)
            elif verb == "destroy":
                del self.sets[name], self.kinds[name]
            elif verb == "add":
                self.sets[name].add(rest[0])
            elif verb == "del":
                self.sets[name].remove(rest[0])
            elif verb == "flush":
                self.sets[name].clear()
            else:
                raise IpsetError(f"not understood: {line}")
