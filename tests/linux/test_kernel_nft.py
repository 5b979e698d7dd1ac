"""Reading large sets of a real kernel, in a namespace of its own."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from collections.abc import Iterator

import pytest

from sampan.linux.base.nft import Element, NftError, SetRef
from sampan.linux.real import netns
from sampan.linux.real.nft import MANY, RealNft

pytestmark = pytest.mark.kernel
ENDS = SetRef("ip", "kube-proxy", "ends")
MAP = "table ip kube-proxy { map ends { type ipv4_addr : ipv4_addr; }; }"
ELEMENTS = [
    Element(struct.pack("!I", (10 << 24) + n), struct.pack("!I", n + 1)) for n in range(MANY)
]
GUESS = {one.key: one for one in ELEMENTS}


@pytest.fixture
def space() -> Iterator[str]:
    name = f"spn-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield f"/run/netns/{name}"
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.fixture
def nft(space: str) -> Iterator[RealNft]:
    with netns.inside(space):
        made = RealNft()
    made.run(MAP)
    made.commit({}, {ENDS: ELEMENTS})
    _settle(made)
    yield made
    made.close()


def _settle(nft: RealNft) -> None:
    """The kernel lets a set's table grow in steps, after the set was filled and when it has a turn;
    a dump meanwhile lacks elements, and nobody is told.
    """
    until = time.monotonic() + 60
    whole = 0
    while whole < 3:
        whole = whole + 1 if len(nft.elements(ENDS)) == MANY else 0
        assert time.monotonic() < until


def test_a_good_guess_about_a_large_set_is_what_it_holds(nft: RealNft) -> None:
    found = nft.elements(ENDS, GUESS)
    assert found == GUESS
    assert nft.elements(ENDS) == GUESS


@pytest.mark.parametrize("place", [0, MANY // 2, MANY - 1])
def test_a_guess_that_is_wrong_about_one_element_is_put_right(nft: RealNft, place: int) -> None:
    old = ELEMENTS[place]
    new = old._replace(data=b"\1\2\3\4")
    watch = nft.watch([("ip", "kube-proxy")])
    nft.commit({ENDS: [old]}, {ENDS: [new]})
    assert nft.elements(ENDS, GUESS) == {**GUESS, old.key: new}
    nft.commit({ENDS: [new]}, {})
    assert len(nft.elements(ENDS, GUESS)) == MANY - 1
    another = Element(b"\xc0\0\2\1", b"\1\2\3\4")
    nft.commit({}, {ENDS: [another]})
    assert nft.elements(ENDS, GUESS).keys() == GUESS.keys() - {old.key} | {another.key}
    # Our own writes are still known as ours.
    assert not watch.foreign()


def test_no_room_for_answers_makes_it_no_worse_than_a_dump(nft: RealNft, space: str) -> None:
    with netns.inside(space):
        narrow = RealNft(room=1)
    assert narrow.elements(ENDS, GUESS) == GUESS
    narrow.close()


def test_a_table_that_is_not_there_is_empty_and_one_that_is_has_its_frame(nft: RealNft) -> None:
    assert nft.listing("ip6", "kube-proxy") == ""
    assert nft.listing("ip", "kube") == ""
    listed = nft.listing("ip", "kube-proxy")
    assert listed.startswith("table ip kube-proxy {\n\tmap ends {")
    assert "elements" not in listed
    assert nft.listing("inet", "both") == ""
    nft.run("table inet both { chain nothing { }; }")
    assert nft.listing("inet", "both").startswith("table inet both {\n\tchain nothing {")


def test_a_set_that_is_not_there_is_named(nft: RealNft) -> None:
    with pytest.raises(NftError, match="nothing cannot be read: No such file"):
        nft.elements(ENDS._replace(name="nothing"))
    with pytest.raises(NftError, match="nothing cannot be read: No such file"):
        nft.elements(ENDS._replace(name="nothing"), GUESS)


def test_who_comes_after_the_end_is_told(space: str) -> None:
    """A thread may still be about to ask while the proxy ends; libnftables would crash."""
    with netns.inside(space):
        made = RealNft()
    made.close()
    with pytest.raises(NftError, match="closed"):
        made.run("list ruleset")
    with pytest.raises(NftError, match="kube-proxy cannot be read: Bad file descriptor"):
        made.listing("ip", "kube-proxy")
    made.close()
