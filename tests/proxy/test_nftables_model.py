"""Random Services and endpoints: the rendered rules mean what the model means, however they came
to be.
"""

from __future__ import annotations

import asyncio

from hypothesis import given

from sampan.linux.fake.nft import FakeNft
from sampan.linux.walk.nft import Walker
from sampan.proxy.backends.nftables.backend import NftablesBackend
from sampan.proxy.backends.nftables.layout import NAME
from sampan.proxy.meaning import View, meaning
from sampan.proxy.settings import Settings
from tests.proxy.worlds import HOST, QUIET, STEPS, Change, World, packets, settings


def loaded(world: World, chosen: Settings) -> FakeNft:
    """A kernel into which the world's model was loaded at once."""
    nft = FakeNft()
    world.tracker.take()
    asyncio.run(NftablesBackend(nft, chosen).resync(world.tracker.model))
    return nft


@QUIET
@given(steps=STEPS, chosen=settings())
def test_rules_treat_every_packet_as_the_model_means(steps: list[Change], chosen: Settings) -> None:
    world = World()
    for step in steps:
        world.happen(step)
    nft = loaded(world, chosen)
    for family, words in ((4, "ip"), (6, "ip6")):
        one = chosen.family(family)
        assert one is not None
        walker = Walker(nft.tables[words, NAME], HOST)
        view = View(one, HOST)
        for packet in packets(family):
            wanted = meaning(world.tracker.model.values(), packet, view)
            assert walker.outcomes(packet) == wanted, packet


@QUIET
@given(steps=STEPS, chosen=settings())
def test_changes_one_by_one_leave_what_a_fresh_start_makes(
    steps: list[Change], chosen: Settings
) -> None:
    world, nft = World(), FakeNft()
    backend = NftablesBackend(nft, chosen)

    async def follow() -> None:
        await backend.resync({})
        for step in steps:
            world.happen(step)
            taken = world.tracker.take()
            await backend.load([backend.render(one.key, one.old, one.new) for one in taken])

    asyncio.run(follow())
    fresh = loaded(world, chosen)
    for words in ("ip", "ip6"):
        mine, theirs = nft.tables[words, NAME], fresh.tables[words, NAME]
        for name, elements in theirs.elements.items():
            assert mine.elements.get(name, {}) == elements, name
        for name, verdicts in theirs.verdicts.items():
            assert mine.verdicts.get(name, {}) == verdicts, name
        for name, spec in theirs.chains.items():
            assert set(mine.chains[name].rules) >= set(spec.rules), name
        for name, elements in mine.elements.items():
            assert elements == theirs.elements.get(name, {}), name


@QUIET
@given(steps=STEPS, chosen=settings())
def test_a_restart_with_nothing_changed_writes_nothing(
    steps: list[Change], chosen: Settings
) -> None:
    world = World()
    for step in steps:
        world.happen(step)
    nft = loaded(world, chosen)
    held, writes = dict(nft.tables), nft.writes
    asyncio.run(NftablesBackend(nft, chosen).resync(world.tracker.model))
    assert nft.tables == held
    assert nft.writes == writes
