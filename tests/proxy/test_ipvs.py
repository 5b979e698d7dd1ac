"""IPVS mode: random Services mean what they should, changes arrive whole, connections drain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given

from sampan.api.meta import Key
from sampan.client.client import Client
from sampan.cluster.parts.proxy import CannotRun, ProxySettings, build
from sampan.cluster.parts.proxy_kernel import Kernel
from sampan.linux.base.ipvs import Destination, VirtualServer
from sampan.linux.fake.conntrack import FakeConntrack
from sampan.linux.fake.iptables import FakeIptables
from sampan.linux.fake.ipvs import FakeIpsets, FakeIpvs
from sampan.linux.fake.links import FakeLinks, FakeNamespaces
from sampan.proxy.backends.iptables.backend import IptablesBackend
from sampan.proxy.backends.ipvs.backend import IpvsBackend, Options
from sampan.proxy.backends.ipvs.render import State, state, together
from sampan.proxy.config import configuration
from sampan.proxy.meaning import IPVS, View, meaning
from sampan.proxy.model import Port, Rules, Target
from sampan.proxy.settings import Settings
from sampan.testing.api import FakeApi
from tests.proxy.ipvs_walk import ipvs_walker
from tests.proxy.worlds import HOST, QUIET, STEPS, Change, World, packets, settings


async def at_once(work: Callable[..., Any], *args: Any) -> Any:
    return work(*args)


class Machine:
    """A kernel with IPVS, and a backend on it."""

    def __init__(self, chosen: Settings) -> None:
        self.ipvs = FakeIpvs()
        self.ipsets = FakeIpsets()
        self.tools = [FakeIptables(4), FakeIptables(6)]
        self.settings = chosen
        self.backend = self.fresh()

    def fresh(self) -> IpvsBackend:
        made = IpvsBackend(self.ipvs, self.ipsets, self.tools, aside=at_once)
        made.configure(self.settings)
        return made

    @property
    def writes(self) -> int:
        tools = sum(tool.writes for tool in self.tools)
        return self.ipvs.writes + self.ipsets.writes + tools

    def holds(self) -> tuple[object, ...]:
        return (
            self.ipvs.table,
            self.ipvs.devices.get("kube-ipvs0", set()),
            self.ipsets.sets,
            [tool.tables for tool in self.tools],
        )


@QUIET
@given(steps=STEPS, chosen=settings(any_address=False))
def test_rules_sets_and_servers_treat_every_packet_as_the_model_means(
    steps: Sequence[Change], chosen: Settings
) -> None:
    world = World()
    for step in steps:
        world.happen(step)
    world.tracker.take()
    model = world.tracker.model
    whole = together(state(rules, chosen, "rr") for rules in model.values())
    for family in (4, 6):
        one = chosen.family(family)
        assert one is not None
        walker = ipvs_walker(whole, chosen, family, HOST)
        for packet in packets(family):
            wanted = meaning(model.values(), packet, View(one, HOST, IPVS))
            assert walker.outcomes(packet) == wanted, packet


@QUIET
@given(steps=STEPS, chosen=settings(any_address=False))
def test_changes_one_by_one_leave_what_a_fresh_start_makes(
    steps: Sequence[Change], chosen: Settings
) -> None:
    world, mine, theirs = World(), Machine(chosen), Machine(chosen)

    async def follow() -> None:
        await mine.backend.resync({})
        for step in steps:
            world.happen(step)
            taken = world.tracker.take()
            await mine.backend.load(
                [mine.backend.render(one.key, one.old, one.new) for one in taken]
            )
        mine.backend._sweep()
        await theirs.backend.resync(world.tracker.model)

    asyncio.run(follow())
    assert mine.holds() == theirs.holds()


@QUIET
@given(steps=STEPS, chosen=settings(any_address=False))
def test_a_restart_writes_nothing_and_cleanup_leaves_nothing(
    steps: Sequence[Change], chosen: Settings
) -> None:
    world, machine = World(), Machine(chosen)
    for step in steps:
        world.happen(step)
    world.tracker.take()

    async def twice() -> None:
        await machine.backend.resync(world.tracker.model)
        writes = machine.writes
        await machine.fresh().resync(world.tracker.model)
        assert machine.writes == writes
        await machine.fresh().cleanup()

    asyncio.run(twice())
    empty = Machine(chosen)
    assert machine.holds() == empty.holds()


KEY = Key("default", "web")
SERVER = VirtualServer("10.96.0.1", 80, "tcp")


def rules(*ips: str, protocol: str = "tcp", serving: Sequence[str] = ()) -> Rules:
    targets = tuple(Target(ip, 8080, False) for ip in ips)
    port = Port(
        "",
        protocol,
        4,
        "10.96.0.1",
        80,
        0,
        (),
        (),
        (),
        False,
        False,
        0,
        targets,
        (),
        bool(ips),
        frozenset((ip, 8080) for ip in serving),
    )
    return Rules(KEY, (port,), None, "")


def test_a_tcp_endpoint_that_goes_drains_and_then_leaves() -> None:
    machine = Machine(Settings("n1"))
    one, two = rules("10.0.0.1", "10.0.0.2"), rules("10.0.0.2")

    async def main() -> None:
        await machine.backend.resync({KEY: one})
        machine.ipvs.open = {("10.0.0.1", 8080): 3}
        await machine.backend.load([machine.backend.render(KEY, one, two)])
        assert machine.ipvs.table[SERVER].destinations == (
            Destination("10.0.0.2", 8080),
            Destination("10.0.0.1", 8080, 0),
        )
        machine.backend._sweep()
        assert len(machine.ipvs.table[SERVER].destinations) == 2
        machine.ipvs.open = {}
        machine.backend._sweep()
        assert machine.ipvs.table[SERVER].destinations == (Destination("10.0.0.2", 8080),)

    asyncio.run(main())


def test_an_endpoint_that_comes_back_while_draining_is_whole_again() -> None:
    machine = Machine(Settings("n1"))
    one, two = rules("10.0.0.1", "10.0.0.2"), rules("10.0.0.2")

    async def main() -> None:
        await machine.backend.resync({KEY: one})
        await machine.backend.load([machine.backend.render(KEY, one, two)])
        await machine.backend.load([machine.backend.render(KEY, two, one)])
        assert machine.ipvs.table[SERVER].destinations == (
            Destination("10.0.0.1", 8080),
            Destination("10.0.0.2", 8080),
        )

    asyncio.run(main())


def test_a_udp_endpoint_goes_at_once() -> None:
    machine = Machine(Settings("n1"))
    one, two = rules("10.0.0.1", "10.0.0.2", protocol="udp"), rules("10.0.0.2", protocol="udp")

    async def main() -> None:
        await machine.backend.resync({KEY: one})
        await machine.backend.load([machine.backend.render(KEY, one, two)])
        found = machine.ipvs.table[SERVER._replace(protocol="udp")]
        assert found.destinations == (Destination("10.0.0.2", 8080),)

    asyncio.run(main())


UDP = SERVER._replace(protocol="udp")


def test_a_udp_endpoint_that_drains_keeps_its_flows_until_it_serves_no_more() -> None:
    machine = Machine(Settings("n1"))
    both, here = ("10.0.0.1", "10.0.0.2"), Destination("10.0.0.2", 8080)
    one = rules(*both, protocol="udp", serving=both)
    draining = rules("10.0.0.2", protocol="udp", serving=both)
    gone = rules("10.0.0.2", protocol="udp", serving=("10.0.0.2",))

    async def main() -> None:
        backend = machine.backend
        await backend.resync({KEY: one})
        machine.ipvs.open = {("10.0.0.1", 8080): 1}
        await backend.load([backend.render(KEY, one, draining)])
        assert machine.ipvs.table[UDP].destinations == (here, Destination("10.0.0.1", 8080, 0))
        assert not backend._sweep()
        again = machine.fresh()
        writes = machine.ipvs.writes
        await again.resync({KEY: draining})
        assert machine.ipvs.writes == writes
        await again.load([again.render(KEY, draining, gone)])
        assert machine.ipvs.table[UDP].destinations == (here,)
        await again.resync({KEY: gone})
        assert not again._sweep()

    asyncio.run(main())


def test_a_restart_leaves_open_connections_to_what_went_meanwhile() -> None:
    machine = Machine(Settings("n1"))
    one, two = rules("10.0.0.1", "10.0.0.2"), rules("10.0.0.2")

    async def main() -> None:
        await machine.backend.resync({KEY: one})
        machine.ipvs.open[("10.0.0.1", 8080)] = 1
        again = IpvsBackend(machine.ipvs, machine.ipsets, machine.tools, aside=at_once)
        again.configure(Settings("n1"))
        await again.resync({KEY: two})
        assert Destination("10.0.0.1", 8080, 0) in machine.ipvs.table[SERVER].destinations
        writes = machine.ipvs.writes
        await again.resync({KEY: two})
        assert machine.ipvs.writes == writes
        machine.ipvs.open.clear()
        again._sweep()
        assert machine.ipvs.table[SERVER].destinations == (Destination("10.0.0.2", 8080),)

    asyncio.run(main())


def test_whatever_somebody_else_changes_is_noticed() -> None:
    machine = Machine(Settings("n1"))
    web = rules("10.0.0.1", "10.0.0.2")

    def clear_servers() -> None:
        machine.ipvs.table.clear()

    def change_weight() -> None:
        serving = machine.ipvs.table[SERVER]
        heavy = serving.destinations[0]._replace(weight=9)
        machine.ipvs.table[SERVER] = serving._replace(destinations=(heavy,))

    def delete_address() -> None:
        machine.ipvs.hold("kube-ipvs0", (), ("10.96.0.1",))

    def delete_device() -> None:
        machine.ipvs.drop_device("kube-ipvs0")

    def flush_sets() -> None:
        machine.ipsets.restore("flush KUBE-CLUSTER-IP\n")

    def flush_rules() -> None:
        machine.tools[0].restore("*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n")

    async def main() -> None:
        await machine.backend.resync({KEY: web})
        assert not machine.backend._sweep()
        for meddle in (
            clear_servers,
            change_weight,
            delete_address,
            delete_device,
            flush_sets,
            flush_rules,
        ):
            meddle()
            assert machine.backend._sweep(), meddle
            await machine.backend.resync({KEY: web})
            assert not machine.backend._sweep(), meddle

    asyncio.run(main())


def test_an_unknown_scheduler_is_said() -> None:
    machine = Machine(Settings("n1"))
    made = IpvsBackend(machine.ipvs, machine.ipsets, machine.tools, Options("fair"))
    assert "fair" in made.probe()


def test_without_ipvs_iptables_mode_takes_its_place() -> None:
    tools = [FakeIptables(4), FakeIptables(6)]
    lacking = FakeIpvs("this kernel has no IPVS")
    kernel = Kernel(
        FakeConntrack(),
        FakeLinks(FakeNamespaces()),
        {
            "ipvs": lambda: IpvsBackend(lacking, FakeIpsets(), tools),
            "iptables": lambda: IptablesBackend(tools, Settings("")),
        },
    )

    async def main() -> None:
        config = configuration({"mode": "ipvs"})
        part = build(Client(FakeApi()), ProxySettings("n1", config), kernel)
        assert part.proxy.backend.name == "iptables"
        assert part.config["mode"] == "iptables"
        with pytest.raises(CannotRun, match="nftables"):
            build(Client(FakeApi()), ProxySettings("n1", configuration()), kernel)

    asyncio.run(main())


def test_a_state_without_services_is_empty() -> None:
    assert together([]) == State()
