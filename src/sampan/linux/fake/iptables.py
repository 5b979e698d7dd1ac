"""iptables in memory: tables as iptables-save text describes them, changed by restore scripts."""

from __future__ import annotations

import copy

from sampan.linux.base.iptables import IptablesError

BUILT_IN = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
}


class FakeIptables:
    """Implements `Iptables`; `tables` is what the kernel would hold, `writes` how often it
    changed.
    """

    def __init__(self, family: int, version: str = "1.8.9 nf_tables") -> None:
        self.family = family
        self.tables: dict[str, dict[str, list[str]]] = {
            table: {chain: [] for chain in chains} for table, chains in BUILT_IN.items()
        }
        self.writes = 0
        self.generation = 0
        self.localnet = False
        self.refuse = ""
        self._version = version

    def version(self) -> str:
        return self._version

    def save(self, *, counters: bool = False) -> str:
        lines = []
        for table, chains in self.tables.items():
            lines.append(f"*{table}")
            lines += [
                f":{name} {'ACCEPT' if name.isupper() and '-' not in name else '-'} [0:0]"
                for name in chains
            ]
            count = "[0:0] " if counters else ""
            lines += [count + rule for rules in chains.values() for rule in rules]
            lines.append("COMMIT")
        return "\n".join(lines) + "\n"

    def restore(self, script: str) -> None:
        before = copy.deepcopy(self.tables)
        table = ""
        try:
            if self.refuse:
                word, self.refuse = self.refuse, ""
                raise IptablesError(word)
            for line in script.splitlines():
                if line.startswith("*"):
                    table = line[1:]
                elif line == "COMMIT":
                    self._check(self.tables[table])
                elif line:
                    self._line(self.tables[table], line)
        except IptablesError:
            self.tables = before
            raise
        self.writes += 1
        self.generation += 1

    def fingerprint(self) -> bytes:
        return str(self.generation).encode()

    def allow_localnet(self) -> None:
        self.localnet = True

    def _line(self, chains: dict[str, list[str]], line: str) -> None:
        word, _, rest = line.partition(" ")
        name, _, rule = rest.partition(" ")
        if line.startswith(":"):
            chains[word[1:]] = []
            return
        if name not in chains:
            raise IptablesError(f"no chain {name}: {line}")
        if word == "-A":
            chains[name].append(line)
        elif word == "-I":
            number, _, text = rule.partition(" ")
            chains[name].insert(int(number) - 1, f"-A {name} {text}")
        elif word == "-D":
            chains[name].remove(f"-A {name} {rule}")
        elif word == "-X":
            if chains.pop(name):
                raise IptablesError(f"chain {name} is not empty")
        else:
            raise IptablesError(f"not understood: {line}")

    def _check(self, chains: dict[str, list[str]]) -> None:
        """A jump may only lead to a chain that is there."""
        for rules in chains.values():
            for rule in rules:
                target = rule.rpartition(" -j ")[2].split(" ")[0]
                if target.startswith("KUBE-") and target not in chains:
                    raise IptablesError(f"no chain {target}: {rule}")
