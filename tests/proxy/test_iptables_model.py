"""Random Services and endpoints in iptables mode: rules mean what the model means, a restart writes
nothing, and changes one by one leave what a fresh start makes.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sampan.api.meta import Key
from sampan.linux.base.iptables_text import document
from sampan.linux.fake.iptables import FakeIptables
from sampan.linux.walk.iptables import Walker
from sampan.proxy.backends.iptables.backend import IptablesBackend
from sampan.proxy.backends.iptables.layout import JUMPS, WHOLE, Division, division
from sampan.proxy.backends.iptables.rules import NODEPORTS, SERVICES, hashed, probability
from sampan.proxy.meaning import IPTABLES, View, meaning
from sampan.proxy.model import Port, Rules, Target
from sampan.proxy.settings import Settings
from tests.proxy.worlds import HOST, QUIET, STEPS, Change, World, packets, settings


def tools() -> list[FakeIptables]:
    return [FakeIptables(4), FakeIptables(6)]


def loaded(world: World, chosen: Settings) -> list[FakeIptables]:
    made = tools()
    world.tracker.take()
    asyncio.run(IptablesBackend(made, chosen).resync(world.tracker.model))
    return made


@QUIET
@given(steps=STEPS, chosen=settings())
def test_rules_treat_every_packet_as_the_model_means(steps: list[Change], chosen: Settings) -> None:
    chosen = replace(
        chosen,
        families=tuple(
            replace(one, localhost_node_ports=one.family == 4 and one.node_port_ips is None)
            for one in chosen.families
        ),
    )
    world = World()
    for step in steps:
        world.happen(step)
    for tool in loaded(world, chosen):
        one = chosen.family(tool.family)
        assert one is not None
        walker = Walker(tool.save(), HOST)
        view = View(one, HOST, IPTABLES)
        for packet in packets(tool.family):
            wanted = meaning(world.tracker.model.values(), packet, view)
            assert walker.outcomes(packet) == wanted, packet


@QUIET
@given(steps=STEPS, chosen=settings(), prefix=st.sampled_from((1, 24, 30, 31)))
def test_divided_rules_treat_every_packet_as_the_model_means(
    steps: list[Change], chosen: Settings, prefix: int
) -> None:
    world = World()
    for step in steps:
        world.happen(step)
    world.tracker.take()
    model = world.tracker.model
    backend = IptablesBackend(tools(), chosen)
    for one in chosen.families:
        how = Division(prefix if one.family == 4 else prefix + 96)
        walker = Walker(document(backend.chains(model, one.family, how), JUMPS), HOST)
        view = View(one, HOST, IPTABLES)
        for packet in packets(one.family):
            assert walker.outcomes(packet) == meaning(model.values(), packet, view), packet


@QUIET
@given(steps=STEPS, chosen=settings())
def test_changes_one_by_one_leave_what_a_fresh_start_makes(
    steps: list[Change], chosen: Settings
) -> None:
    world, mine = World(), tools()
    backend = IptablesBackend(mine, chosen)

    async def follow() -> None:
        await backend.resync({})
        for step in steps:
            world.happen(step)
            taken = world.tracker.take()
            await backend.load([backend.render(one.key, one.old, one.new) for one in taken])

    asyncio.run(follow())
    for one, other in zip(mine, loaded(world, chosen), strict=True):
        assert one.tables == other.tables


@QUIET
@given(steps=STEPS, chosen=settings())
def test_a_restart_with_nothing_changed_writes_nothing(
    steps: list[Change], chosen: Settings
) -> None:
    world = World()
    for step in steps:
        world.happen(step)
    made = loaded(world, chosen)
    writes = [tool.writes for tool in made]
    asyncio.run(IptablesBackend(made, chosen).resync(world.tracker.model))
    assert [tool.writes for tool in made] == writes


@QUIET
@given(steps=STEPS, chosen=settings())
def test_cleanup_leaves_nothing(steps: list[Change], chosen: Settings) -> None:
    world = World()
    for step in steps:
        world.happen(step)
    made = loaded(world, chosen)
    asyncio.run(IptablesBackend(made, chosen).cleanup())
    assert [tool.tables for tool in made] == [tool.tables for tool in tools()]


def test_large_clusters_are_divided_into_about_the_square_root() -> None:
    addresses = [f"10.{96 + number % 16}.{number % 251}.{number % 241}" for number in range(10000)]
    how = division(addresses, 4, len(addresses))
    parts = {how.part(SERVICES, ip)[0] for ip in addresses}
    assert 60 <= len(parts) <= 220
    assert division(addresses, 4, 999) == Division()
    assert how.part(NODEPORTS, "30081") == ("KUBE-PORTS-30080", "30080:30143")


def test_divided_rules_treat_packets_as_undivided_ones() -> None:
    world = World()
    for number in range(3):
        world.happen(("service", number, _service(number)))
        world.happen(("IPv4", number, _slice(number)))
    world.tracker.take()
    backend = IptablesBackend(tools(), Settings("n1"))
    plain, divided = (
        document(backend.chains(world.tracker.model, 4, how), JUMPS)
        for how in (WHOLE, Division(31))
    )
    assert "KUBE-PART-" in divided
    assert "KUBE-PORTS-30080" in divided
    one, two = Walker(plain, HOST), Walker(divided, HOST)
    for packet in packets(4):
        assert one.outcomes(packet) == two.outcomes(packet)


def test_crossing_a_thousand_services_divides_and_going_back_undivides() -> None:
    made = tools()
    backend = IptablesBackend(made, Settings("n1"))
    rules = [_plain(number) for number in range(1001)]

    async def follow() -> None:
        await backend.resync({one.key: one for one in rules[:999]})
        assert "KUBE-PART-" not in made[0].save()
        await backend.load([backend.render(one.key, None, one) for one in rules[999:]])
        assert "KUBE-PART-" in made[0].save()
        await backend.load([backend.render(one.key, one, None) for one in rules[700:]])
        assert "KUBE-PART-" not in made[0].save()

    asyncio.run(follow())


def test_on_nf_tables_many_chains_are_written_and_deleted_in_portions() -> None:
    """The fake refuses, as the kernel, a rule that leads to a chain which is not there."""
    portioned = tools()
    whole = [FakeIptables(4, "1.8.9 legacy"), FakeIptables(6, "1.8.9 legacy")]
    model = {one.key: one for one in map(_plain, range(700))}
    for made in (portioned, whole):
        asyncio.run(IptablesBackend(made, Settings("n1")).resync(model))
    assert portioned[0].tables == whole[0].tables
    assert portioned[0].writes > 1 == whole[0].writes

    async def shrink() -> None:
        backend = IptablesBackend(portioned, Settings("n1"))
        await backend.resync(model)
        await backend.load([backend.render(key, one, None) for key, one in model.items()])

    asyncio.run(shrink())
    empty = tools()
    asyncio.run(IptablesBackend(empty, Settings("n1")).resync({}))
    assert portioned[0].tables == empty[0].tables


def test_above_a_thousand_endpoints_what_each_has_goes_without_comments() -> None:
    made = tools()
    backend = IptablesBackend(made, Settings("n1"))
    few, many = _plain(0), _plain(1, endpoints=1000)

    async def follow() -> None:
        await backend.resync({many.key: many})
        assert f"-A {_service_chain(many)} -m comment" in made[0].save()
        await backend.load([backend.render(few.key, None, few)])
        assert f"-A {_service_chain(many)} -m comment" not in made[0].save()
        fresh = tools()
        await IptablesBackend(fresh, Settings("n1")).resync({few.key: few, many.key: many})
        assert made[0].tables == fresh[0].tables
        await backend.load([backend.render(few.key, few, None)])
        assert f"-A {_service_chain(many)} -m comment" in made[0].save()

    asyncio.run(follow())


def _service_chain(rules: Rules) -> str:
    return f"KUBE-SVC-{hashed(f'{rules.key}tcp')}"


def _plain(number: int, endpoints: int = 1) -> Rules:
    ip = f"10.96.{number // 200}.{number % 200}"
    target = tuple(
        Target(f"10.244.{10 + one // 200}.{one % 200}", 8080, True) for one in range(endpoints)
    )
    port = Port("", "tcp", 4, ip, 80, 0, (), (), (), False, False, 0, target, (), True, frozenset())
    return Rules(Key("default", f"svc-{number}"), (port,), None, "")


def _slice(number: int) -> dict[str, object]:
    return {
        "metadata": {
            "name": f"svc-{number}-a",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": f"svc-{number}"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [f"10.244.1.{11 + n}"], "nodeName": "n1"} for n in range(2)],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    }


def _service(number: int) -> dict[str, object]:
    return {
        "metadata": {"name": f"svc-{number}", "namespace": "default"},
        "spec": {
            "type": "NodePort",
            "clusterIPs": [f"10.96.0.{number + 1}"],
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080 + number}],
        },
    }


def test_chances_are_printed_as_the_kernel_rounds_them() -> None:
    assert probability(3) == "0.33333333349"
    assert probability(2) == "0.50000000000"
