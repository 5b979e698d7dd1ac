"""Rendering without a kernel: each mode's text for a planned node."""

from __future__ import annotations

from collections.abc import Callable

from sampan.linux.base.iptables_text import document
from sampan.linux.base.nft_text import text as nft_text
from sampan.linux.fake.iptables import FakeIptables
from sampan.linux.fake.nft import FakeNft
from sampan.proxy.backends.ebpf.sockets import Ends, listing, sockets
from sampan.proxy.backends.iptables.backend import IptablesBackend
from sampan.proxy.backends.iptables.layout import JUMPS
from sampan.proxy.backends.ipvs import layout
from sampan.proxy.backends.ipvs import render as ipvs
from sampan.proxy.backends.nftables.backend import NftablesBackend
from sampan.proxy.config import BadConfig
from sampan.proxy.model import family_of
from sampan.proxy.offline import Planned

FAMILIES: dict[str, tuple[int, ...]] = {
    "": (4, 6),
    "iptables": (4,),
    "ip": (4,),
    "ip6tables": (6,),
    "ip6": (6,),
}


def rendered(mode: str, plan: Planned, family: str = "") -> str:
    """What the mode would program, as its own tools print it. Raises BadConfig."""
    render = RENDERERS.get(mode)
    if render is None:
        raise BadConfig(f"--mode {mode}: it programs no rules; {', '.join(RENDERERS)} do")
    return render(plan, FAMILIES[family or _default(mode)])


def _default(mode: str) -> str:
    return "iptables" if mode == "iptables" else ""


def _nftables(plan: Planned, families: tuple[int, ...]) -> str:
    tables = NftablesBackend(FakeNft(), plan.settings).wanted(plan.model)
    return "".join(nft_text(tables[family]) for family in families)


def _iptables(plan: Planned, families: tuple[int, ...]) -> str:
    tools = [FakeIptables(family) for family in families]
    backend = IptablesBackend(tools, plan.settings)
    return "".join(document(backend.chains(plan.model, family), JUMPS) for family in families)


def _ebpf(plan: Planned, families: tuple[int, ...]) -> str:
    """The sockets' part first, then the rules for everybody else."""
    found: Ends = {}
    for rules in plan.model.values():
        found.update(sockets(rules, plan.settings))
    own = {one: ends for one, ends in found.items() if family_of(one.ip) in families}
    return listing(own) + _nftables(plan, families)


def _ipvs(plan: Planned, families: tuple[int, ...]) -> str:
    """Virtual servers, addresses and sets, then the rules."""
    whole = ipvs.together(
        ipvs.state(rules, plan.settings, plan.scheduler) for rules in plan.model.values()
    )
    own = ipvs.State(
        {one: serving for one, serving in whole.servers.items() if family_of(one.ip) in families},
        {ip for ip in whole.addresses if family_of(ip) in families},
        {one for one in whole.entries if (6 if one[0].startswith("KUBE-6-") else 4) in families},
    )
    made = [one for family in families if (one := plan.settings.family(family))]
    return ipvs.listing(own) + "".join(document(layout.chains(one), layout.JUMPS) for one in made)


RENDERERS: dict[str, Callable[[Planned, tuple[int, ...]], str]] = {
    "nftables": _nftables,
    "iptables": _iptables,
    "ebpf": _ebpf,
    "ipvs": _ipvs,
}
