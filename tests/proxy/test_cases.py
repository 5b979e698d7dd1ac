"""Every case folder in every mode: the rules are the golden ones, and packets fare as it says."""

from __future__ import annotations

import functools

import pytest

from sampan.cluster.parts.proxy_render import rendered
from sampan.linux.base.nft_text import parse
from sampan.linux.walk.iptables import Walker as IptablesWalker
from sampan.linux.walk.nft import Walker as NftWalker
from sampan.linux.walk.packet import Outcome, Packet
from sampan.proxy.backends.ipvs.render import state, together
from tests.proxy.case_folders import HOST, MANNERS, Case, cases, meant, packet, told, update, wanted
from tests.proxy.ipvs_walk import ipvs_walker

MODES = tuple(MANNERS)
FILES = {
    "nftables": (("expect.nftables", ""),),
    "iptables": (("expect.iptables", "iptables"), ("expect.ip6tables", "ip6tables")),
    "ebpf": (("expect.ebpf", ""),),
    "ipvs": (("expect.ipvs", ""),),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases(), ids=lambda case: case.name)


@pytest.fixture(autouse=True)
def _updated(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-cases") and "case" in request.fixturenames:
        update(request.getfixturevalue("case"), MODES)


@pytest.mark.parametrize("mode", MODES)
def test_rules_are_the_golden_ones(case: Case, mode: str, request: pytest.FixtureRequest) -> None:
    for name, family in FILES[mode]:
        if family == "ip6tables" and not case.six:
            continue
        text = rendered(mode, case.planned(mode), family)
        golden = case.folder / name
        if request.config.getoption("--update-cases"):
            golden.write_text(text)
        assert text == golden.read_text(), f"{golden}; --update-cases writes it anew"


@pytest.mark.parametrize("mode", MODES)
def test_the_model_means_what_the_story_says(case: Case, mode: str) -> None:
    plan = case.planned(mode)
    for probe in case.probes:
        assert meant(plan, packet(probe), mode) == wanted(probe, mode), probe


@pytest.mark.parametrize("mode", MODES)
def test_packets_walk_through_the_rules_as_the_story_says(case: Case, mode: str) -> None:
    for probe in case.probes:
        assert told(_walked(case, mode, packet(probe))) == wanted(probe, mode), probe


def _walked(case: Case, mode: str, one: Packet) -> frozenset[Outcome]:
    return _walker(case, mode, ":" in one.destination).outcomes(one)


@functools.lru_cache(maxsize=4)
def _walker(case: Case, mode: str, six: bool) -> NftWalker | IptablesWalker:
    if mode in ("nftables", "ebpf"):
        text = rendered(mode, case.planned(mode), "ip6" if six else "ip")
        return NftWalker(parse(text)[0], HOST)
    if mode == "ipvs":
        plan = case.planned(mode)
        states = (state(rules, plan.settings, "rr") for rules in plan.model.values())
        return ipvs_walker(together(states), plan.settings, 6 if six else 4)
    text = rendered(mode, case.planned(mode), "ip6tables" if six else "iptables")
    return IptablesWalker(text, HOST)


def test_every_story_is_one_sentence(case: Case) -> None:
    text = (case.folder / "README.md").read_text()
    assert text.endswith(".\n")
    assert text.count("\n") == 1
