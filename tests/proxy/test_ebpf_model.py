"""Random Services and endpoints in eBPF mode: sockets go where the model says and only where rules
would not do more, and changes one by one leave what a fresh start makes.
"""

from __future__ import annotations

import asyncio

from hypothesis import given

from sampan.linux.base.bpf import SocketService
from sampan.linux.fake.bpf import FakeSocketBalancer
from sampan.linux.fake.nft import FakeNft
from sampan.proxy.backends.ebpf.backend import EbpfBackend
from sampan.proxy.backends.ebpf.sockets import Ends, sockets
from sampan.proxy.backends.nftables.backend import NftablesBackend
from sampan.proxy.meaning import View, meaning
from sampan.proxy.settings import Settings
from tests.proxy.worlds import HOST, QUIET, STEPS, Change, World, packets, settings

CLIENTS = ("10.244.1.10", "192.168.77.1", "fd00:10:244:1::10", "fd00:77::1")
"""A pod and the node, by family: those whose sockets are translated."""


def machine(chosen: Settings) -> tuple[FakeNft, FakeSocketBalancer, EbpfBackend]:
    nft, balancer = FakeNft(), FakeSocketBalancer()
    return nft, balancer, EbpfBackend(NftablesBackend(nft, chosen), balancer, chosen)


@QUIET
@given(steps=STEPS, chosen=settings())
def test_sockets_go_where_packets_would(steps: list[Change], chosen: Settings) -> None:
    world = World()
    for step in steps:
        world.happen(step)
    world.tracker.take()
    model = world.tracker.model
    found: Ends = {}
    for rules in model.values():
        found.update(sockets(rules, chosen))
    for family in (4, 6):
        one = chosen.family(family)
        assert one is not None
        for packet in packets(family):
            ends = found.get(SocketService(packet.destination, packet.port, packet.protocol))
            if ends is None or packet.source not in CLIENTS:
                continue
            wanted = meaning(model.values(), packet, View(one, HOST))
            assert {(end.ip, end.port) for end in wanted} == set(ends), packet
            if packet.interface:
                masqueraded = {end.ip for end in wanted if end.masquerade}
                assert not masqueraded or one.detector.able, packet


@QUIET
@given(steps=STEPS, chosen=settings())
def test_changes_one_by_one_leave_what_a_fresh_start_makes(
    steps: list[Change], chosen: Settings
) -> None:
    world = World()
    _, mine, backend = machine(chosen)

    async def follow() -> None:
        await backend.resync({})
        for step in steps:
            world.happen(step)
            taken = world.tracker.take()
            await backend.load([backend.render(one.key, one.old, one.new) for one in taken])

    asyncio.run(follow())
    _, fresh, other = machine(chosen)
    asyncio.run(other.resync(world.tracker.model))
    assert mine.services == fresh.services
    assert mine.pods == fresh.pods


@QUIET
@given(steps=STEPS, chosen=settings())
def test_the_rules_beside_the_sockets_are_those_of_nftables_mode(
    steps: list[Change], chosen: Settings
) -> None:
    world = World()
    for step in steps:
        world.happen(step)
    world.tracker.take()
    nft, _, backend = machine(chosen)
    asyncio.run(backend.resync(world.tracker.model))
    alone = FakeNft()
    asyncio.run(NftablesBackend(alone, chosen).resync(world.tracker.model))
    assert nft.tables == alone.tables
