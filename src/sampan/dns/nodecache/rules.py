"""Packets to and from the cache pass connection tracking by: in nft's words and in iptables'.

One table of our own with nftables; with iptables, rules with our comment in `raw` and `filter`,
as upstream's node-cache writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sampan.linux.base.iptables import Iptables
from sampan.linux.base.nft import Nft

TABLE = "sampan-node-cache"
MARK = "NodeLocal DNS Cache:"
SKIP, ALLOW = f"{MARK} skip conntrack", f"{MARK} allow DNS traffic"


@dataclass(frozen=True, slots=True)
class Where:
    """The addresses (of one family) and ports that the rules are about."""

    ips: Sequence[str]
    port: str
    health_port: str

    @property
    def six(self) -> bool:
        return ":" in self.ips[0]


def nft_script(where: Where) -> str:
    """The whole table, replaced in one transaction."""
    family = "ip6" if where.six else "ip"
    ips = "{ " + ", ".join(where.ips) + " }"
    dns = "meta l4proto { tcp, udp } th"
    to = f"{family} daddr {ips}"
    back = f"{family} saddr {ips}"
    return f"""add table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
    chain prerouting {{
        type filter hook prerouting priority raw; policy accept;
        {to} {dns} dport {where.port} notrack
    }}
    chain output {{
        type filter hook output priority raw; policy accept;
        {to} {dns} dport {where.port} notrack
        {back} {dns} sport {where.port} notrack
        {to} tcp dport {where.health_port} notrack
        {back} tcp sport {where.health_port} notrack
    }}
}}
"""


def iptables_rules(where: Where) -> list[tuple[str, str]]:
    """Table and rule, as iptables-save prints them."""
    found: list[tuple[str, str]] = []
    for ip in where.ips:
        one = f"{ip}/{128 if where.six else 32}"
        for protocol in ("tcp", "udp"):
            to = f"-d {one} -p {protocol} -m {protocol} --dport {where.port}"
            back = f"-s {one} -p {protocol} -m {protocol} --sport {where.port}"
            found += [
                ("raw", _rule("PREROUTING", to, SKIP)),
                ("filter", _rule("INPUT", to, ALLOW)),
                ("raw", _rule("OUTPUT", back, SKIP)),
                ("filter", _rule("OUTPUT", back, ALLOW)),
                ("raw", _rule("OUTPUT", to, SKIP)),
            ]
        health = f"-p tcp -m tcp --dport {where.health_port}"
        found.append(("raw", _rule("OUTPUT", f"-d {one} {health}", SKIP)))
        health = f"-p tcp -m tcp --sport {where.health_port}"
        found.append(("raw", _rule("OUTPUT", f"-s {one} {health}", SKIP)))
    return found


def _rule(chain: str, match: str, comment: str) -> str:
    target = "ACCEPT" if comment == ALLOW else "NOTRACK"
    return f'{chain} {match} -m comment --comment "{comment}" -j {target}'


def ours(saved: str) -> list[tuple[str, str]]:
    """Table and rule of everything that has our comment."""
    found, table = [], ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A ") and MARK in line:
            found.append((table, line[3:]))
    return found


def inserted(rules: Iterable[tuple[str, str]]) -> str:
    """A script that puts rules in front of their chains."""
    return _script((table, "-I {} 1 {}".format(*_split(rule))) for table, rule in rules)


def deleted(rules: Iterable[tuple[str, str]]) -> str:
    return _script((table, f"-D {rule}") for table, rule in rules)


def _split(rule: str) -> tuple[str, str]:
    chain, _, rest = rule.partition(" ")
    return chain, rest


def _script(lines: Iterable[tuple[str, str]]) -> str:
    tables: dict[str, list[str]] = {}
    for table, line in lines:
        tables.setdefault(table, []).append(line)
    return "".join(
        f"*{table}\n" + "\n".join(found) + "\nCOMMIT\n" for table, found in tables.items()
    )


def _plain(rule: str) -> str:
    # Newer iptables show the same target by another name.
    return rule.replace("-j CT --notrack", "-j NOTRACK")


class NftRules:
    def __init__(self, nft: Nft, where: Where) -> None:
        self.nft = nft
        self.where = where
        self._known = ""

    def ensure(self) -> bool:
        """Put the rules (back) in; whether something had to be done. Raises NftError."""
        found = self.nft.listing("inet", TABLE)
        if found and found == self._known:
            return False
        self.nft.run(nft_script(self.where))
        self._known = self.nft.listing("inet", TABLE)
        return True

    def remove(self) -> None:
        if self.nft.listing("inet", TABLE):
            self.nft.run(f"delete table inet {TABLE}\n")


class IptablesRules:
    def __init__(self, iptables: Iptables, where: Where) -> None:
        self.iptables = iptables
        self.wanted = iptables_rules(where)

    def ensure(self) -> bool:
        """Put in what is missing. Raises IptablesError."""
        there = {(table, _plain(rule)) for table, rule in ours(self.iptables.save())}
        missing = [rule for rule in self.wanted if rule not in there]
        if missing:
            self.iptables.restore(inserted(missing))
        return bool(missing)

    def remove(self) -> None:
        """Take out all that has our comment, also where it stands twice."""
        there = ours(self.iptables.save())
        if there:
            self.iptables.restore(deleted(there))
