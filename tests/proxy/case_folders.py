"""Case folders: one story, every backend (see DESIGN in docs, and tests/cases/README.md).

README.md      one sentence
objects.yaml   the only input; config.yaml where the story needs a configuration
expect.MODE    what that mode would program, golden
packets.yaml   who knocks where, and what becomes of it; `modes` has what one does otherwise
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from sampan.api.meta import Json
from sampan.linux.walk.packet import DROP, PASS, REJECT, Host, Outcome, Packet
from sampan.proxy.config import GATE, configuration
from sampan.proxy.meaning import IPTABLES, IPVS, NFTABLES, Manners, View, meaning
from sampan.proxy.model import family_of
from sampan.proxy.offline import Planned, planned

ROOT = Path(__file__).parents[1] / "cases"
CLUSTER_CIDR = "10.244.0.0/16,fd00:10:244::/56"
HOST = Host(
    frozenset(
        {
            "192.168.77.1",
            "192.168.77.3",
            "10.244.1.1",
            "fd00:77::1",
            "fd00:77::3",
            "fd00:10:244:1::1",
        }
    )
)
CLIENTS = {
    "pod": ("10.244.1.10", "fd00:10:244:1::10", "rpp-c"),
    "b1": ("10.244.1.11", "fd00:10:244:1::11", "rpp-b1"),
    "node": ("192.168.77.1", "fd00:77::1", ""),
    "remote-pod": ("10.244.2.10", "fd00:10:244:2::10", "eth0"),
    "remote-node": ("192.168.77.2", "fd00:77::2", "eth0"),
    "outside": ("192.168.77.100", "fd00:77::100", "eth0"),
    "outside2": ("192.168.77.101", "fd00:77::101", "eth0"),
}
SERVERS = {
    "10.244.1.11": "b1",
    "10.244.1.12": "b2",
    "10.244.1.13": "b3",
    "10.244.2.11": "r1",
    "10.244.2.12": "r2",
    "192.168.77.1": "n1",
    "192.168.77.2": "n2",
    "fd00:10:244:1::11": "b1",
    "fd00:10:244:1::12": "b2",
    "fd00:10:244:1::13": "b3",
    "fd00:10:244:2::11": "r1",
    "fd00:10:244:2::12": "r2",
    "203.0.113.250": "lb",
}
MANNERS: dict[str, Manners] = {
    "nftables": NFTABLES,
    "iptables": IPTABLES,
    "ebpf": NFTABLES,
    "ipvs": IPVS,
}
KERNEL_MODES = {"nftables": "nftables", "iptables": "iptables", "ebpf": "ebpf", "userspace": "ebpf"}
"""The modes that a kernel is asked about, and whose word in packets.yaml counts for them."""
WORDS = {REJECT: "refused", DROP: "dropped", PASS: "passed"}


@dataclass(frozen=True)
class Case:
    """One folder."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def objects(self) -> list[Json]:
        return list(yaml.safe_load_all((self.folder / "objects.yaml").read_text()))

    @cached_property
    def probes(self) -> list[dict[str, Any]]:
        return list(yaml.safe_load((self.folder / "packets.yaml").read_text()))

    @property
    def six(self) -> bool:
        return "IPv6" in (self.folder / "objects.yaml").read_text()

    def planned(self, mode: str) -> Planned:
        own = self.folder / "config.yaml"
        given = yaml.safe_load(own.read_text()) if own.exists() else {}
        # Stories are about rules: a process that listens beside them has tests of its own.
        rules_only = {"clusterCIDR": CLUSTER_CIDR, "featureGates": {GATE: False}}
        config = configuration(rules_only, given, {"mode": mode})
        return planned(self.objects, config, "n1")


def cases() -> list[Case]:
    return [Case(folder) for folder in sorted(ROOT.iterdir()) if folder.is_dir()]


def packet(probe: dict[str, Any]) -> Packet:
    """The first packet of a probe's connection."""
    protocol, _, where = probe["to"].partition(" ")
    address, _, port = where.rpartition(":")
    address = address.strip("[]")
    v4, v6, interface = CLIENTS[probe["from"]]
    source = v6 if ":" in address else v4
    if address.startswith("127.") or address == "::1":
        source = address
    return Packet(source, address, protocol, int(port), interface)


def told(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Outcomes in the words of packets.yaml."""
    found = set(outcomes)
    plain = [WORDS[one] for one in found if one in WORDS]
    if plain:
        assert len(found) == 1, found
        return {"outcome": plain[0]}
    seen = {"node" if one.masquerade else "client" for one in found}
    answers = sorted({SERVERS.get(one.ip, one.ip) for one in found})
    return {"answers": answers, "source": "+".join(sorted(seen))}


def wanted(probe: dict[str, Any], mode: str) -> dict[str, Any]:
    """What packets.yaml says of a probe in a mode."""
    truth = probe.get("modes", {}).get(mode, probe)
    return {key: truth[key] for key in ("answers", "source", "outcome") if key in truth}


def meant(plan: Planned, one: Packet, mode: str) -> dict[str, Any]:
    """What the model says of a packet in a mode."""
    family = plan.settings.family(family_of(one.destination))
    assert family is not None
    return told(meaning(plan.model.values(), one, View(family, HOST, MANNERS[mode])))


def update(case: Case, modes: Iterable[str]) -> None:
    """Fill in the outcomes of packets.yaml from the model: the first mode's are the truth."""
    first, *others = modes
    lines = []
    for probe in case.probes:
        where = packet(probe)
        truth = meant(case.planned(first), where, first)
        differing = {}
        for mode in others:
            found = meant(case.planned(mode), where, mode)
            if found != truth:
                differing[mode] = found
        line = {"from": probe["from"], "to": probe["to"], **truth}
        if differing:
            line["modes"] = differing
        lines.append("- " + yaml.dump(line, default_flow_style=True, sort_keys=False, width=10**6))
    (case.folder / "packets.yaml").write_text("".join(lines))
