"""Addresses of a node's pods."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.podnet.ipam import AddressPool, Exhausted


def test_an_owner_keeps_its_address_over_a_restart(tmp_path: Path) -> None:
    first = AddressPool(tmp_path, "10.244.1.0/24").allocate("a")
    pool = AddressPool(tmp_path, "10.244.1.0/24")
    assert (first, pool.allocate("a"), pool.allocate("b")) == (
        "10.244.1.2", "10.244.1.2", "10.244.1.3",
    )  # fmt: skip


def test_a_released_address_rests_before_it_is_given_again(tmp_path: Path) -> None:
    pool = AddressPool(tmp_path, "10.244.1.0/29")
    ips = [pool.allocate(owner) for owner in "abc"]
    pool.release("a")
    assert pool.allocate("d") not in ips
    assert pool.allocate("e") not in ips[1:]


def test_a_full_range_says_so(tmp_path: Path) -> None:
    pool = AddressPool(tmp_path, "10.244.1.0/30")
    assert pool.allocate("a") == "10.244.1.2"
    with pytest.raises(Exhausted, match=r"10\.244\.1\.0/30: 1 are in use"):
        pool.allocate("b")
    pool.release("a")
    pool.release("nobody")
    assert pool.allocate("b") == "10.244.1.2"


def test_ipv6_ranges_work_alike(tmp_path: Path) -> None:
    pool = AddressPool(tmp_path, "fd00:10:244:1::/64")
    assert pool.allocate("a") == "fd00:10:244:1::2"
    assert AddressPool(tmp_path, "fd00:10:244:1::/64").allocate("a") == "fd00:10:244:1::2"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60))
def test_no_two_owners_ever_share(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, int]]
) -> None:
    pool = AddressPool(tmp_path_factory.mktemp("pool"), "10.244.1.0/28")
    held: dict[str, str] = {}
    for take, number in steps:
        owner = f"o{number}"
        if take:
            held[owner] = pool.allocate(owner)
        else:
            pool.release(owner)
            held.pop(owner, None)
        assert len(set(held.values())) == len(held)
