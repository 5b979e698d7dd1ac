"""Which ServiceCIDRs may go."""

from typing import Any

from sampan.api.meta import Json
from sampan.controllers.servicecidr import is_needed


def _cidr(name: str, *ranges: str, leaving: bool = False) -> Json:
    meta: dict[str, Any] = {"name": name}
    if leaving:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": meta, "spec": {"cidrs": list(ranges)}}


def _address(ip: str) -> Json:
    return {"metadata": {"name": ip}}


MINE = _cidr("mine", "10.1.0.0/24", "fd00:1::/112", leaving=True)


def test_an_address_in_its_range_holds_it() -> None:
    assert is_needed(MINE, [MINE], [_address("10.1.0.7")])
    assert is_needed(MINE, [MINE], [_address("fd00:1::7")])
    assert not is_needed(MINE, [MINE], [_address("10.2.0.7")])
    assert not is_needed(MINE, [MINE], [])


def test_another_that_has_the_address_too_lets_it_go() -> None:
    wide = _cidr("wide", "10.0.0.0/8")
    assert not is_needed(MINE, [MINE, wide], [_address("10.1.0.7")])
    part = _cidr("part", "10.1.0.0/28")
    assert not is_needed(MINE, [MINE, part], [_address("10.1.0.7")])
    assert is_needed(MINE, [MINE, part], [_address("10.1.0.7"), _address("10.1.0.200")])


def test_one_that_leaves_as_well_does_not() -> None:
    wide = _cidr("wide", "10.0.0.0/8", leaving=True)
    assert is_needed(MINE, [MINE, wide], [_address("10.1.0.7")])
