"""The proxy as a component: an API server, a kernel and a clock, all in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from sampan.api import kinds
from sampan.api.errors import ApiError, ServiceUnavailable
from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.linux.base.conntrack import Flow
from sampan.linux.base.nft import NftError
from sampan.linux.base.nft_text import Table
from sampan.linux.fake.conntrack import FakeConntrack
from sampan.linux.fake.nft import FakeNft
from sampan.linux.walk.nft import Walker
from sampan.linux.walk.packet import DROP, REJECT, Host, Outcome, Packet
from sampan.loop.informers import Informers
from sampan.proxy.backends.nftables.backend import NftablesBackend
from sampan.proxy.config import configuration
from sampan.proxy.health import Wellbeing
from sampan.proxy.metrics import Metrics
from sampan.proxy.proxy import Proxy
from sampan.proxy.settings import Settings
from sampan.std.http import Request
from sampan.testing.api import FakeApi
from sampan.testing.clock import JumpingClock, run_jumping

VIP = "10.96.0.1"
FROM_POD = Packet("10.244.1.10", VIP, "tcp", 80, "veth0")
NODE: Json = {
    "metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "east"}},
    "status": {"addresses": [{"type": "InternalIP", "address": "192.168.77.1"}]},
}


async def at_once(work: Callable[..., Any], *args: Any) -> Any:
    """Instead of a thread: threads and a clock that jumps do not go together."""
    return work(*args)


class Rig:
    """A proxy of node n1, with everything around it."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.nft = FakeNft()
        self.conntrack = FakeConntrack()
        self.clock = JumpingClock()
        self.metrics = Metrics("nftables")
        self.wellbeing = Wellbeing(self.clock)
        self.backend = NftablesBackend(self.nft, Settings(""), aside=at_once)
        self.started = asyncio.Event()
        informers = Informers(Client(self.api), self.clock)
        self.proxy = Proxy(
            informers,
            self.backend,
            configuration({"clusterCIDR": "10.244.0.0/16"}),
            "n1",
            self.conntrack,
            self.clock,
            self.metrics,
            self.wellbeing,
            aside=at_once,
        )
        self._informers = informers
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self.api.put(kinds.NODES, NODE)
        self._tasks = [
            asyncio.ensure_future(self._informers.run()),
            asyncio.ensure_future(self.proxy.run(self.started.set)),
        ]
        await asyncio.wait_for(self.started.wait(), 30)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def table(self) -> Table:
        return self.nft.tables["ip", "kube-proxy"]

    def fate(self, packet: Packet = FROM_POD) -> set[Outcome]:
        return set(Walker(self.table, Host(frozenset({"192.168.77.1"}))).outcomes(packet))

    async def until(self, packet: Packet, wanted: set[Outcome]) -> None:
        """Wait until packets fare like this; a second at most."""
        for _ in range(100):
            if self.fate(packet) == wanted:
                return
            await asyncio.sleep(0.01)
        assert self.fate(packet) == wanted


def service(**spec: Any) -> Json:
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"clusterIPs": [VIP], "ports": [{"port": 80, "protocol": "TCP"}], **spec},
    }


def slice_of(*ips: str, protocol: str = "TCP", **conditions: bool) -> Json:
    return {
        "metadata": {
            "name": "web-a",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [ip], "nodeName": "n1", "conditions": conditions} for ip in ips
        ],
        "ports": [{"name": "", "port": 8080, "protocol": protocol}],
    }


def to(*ips: str) -> set[Outcome]:
    return {Outcome("to", ip, 8080) for ip in ips}


def played(story: Callable[[Rig], Awaitable[None]]) -> None:
    """Run a story with a fresh rig."""

    async def main() -> None:
        rig = Rig()
        try:
            await story(rig)
        finally:
            await rig.stop()

    run_jumping(main())


def test_what_is_there_at_start_is_in_force_before_started_is_called() -> None:
    async def story(rig: Rig) -> None:
        rig.api.put(kinds.SERVICES, service())
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.11"))
        await rig.start()
        assert rig.fate() == to("10.244.1.11")
        assert rig.wellbeing.healthy

    played(story)


def test_a_new_service_and_its_endpoints_are_followed() -> None:
    async def story(rig: Rig) -> None:
        await rig.start()
        rig.api.put(kinds.SERVICES, service())
        await rig.until(FROM_POD, {REJECT})
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.11", "10.244.1.12"))
        await rig.until(FROM_POD, to("10.244.1.11", "10.244.1.12"))
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.12"))
        await rig.until(FROM_POD, to("10.244.1.12"))
        rig.api.drop(kinds.SERVICES, "web", "default")
        await rig.until(FROM_POD, {Outcome("pass")})

    played(story)


def test_a_change_of_one_service_is_one_transaction() -> None:
    async def story(rig: Rig) -> None:
        rig.api.put(kinds.SERVICES, service())
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.11"))
        await rig.start()
        writes = rig.nft.writes
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.12"))
        await rig.until(FROM_POD, to("10.244.1.12"))
        assert rig.nft.writes == writes + 1

    played(story)


def test_another_number_of_endpoints_leaves_no_instant_without_any() -> None:
    """A packet tries one map after the other; between two looks a transaction may come."""

    async def story(rig: Rig) -> None:
        rig.api.put(kinds.SERVICES, service())
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.11"))
        await rig.start()
        commit, held = rig.nft.commit, []

        def noted(*some: Any) -> None:
            commit(*some)
            elements = rig.table.elements
            held.append({n for n in elements if n.startswith("endpoints-") and elements[n]})

        rig.nft.commit = noted  # type: ignore[method-assign]
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.11", "10.244.1.12"))
        await rig.until(FROM_POD, to("10.244.1.11", "10.244.1.12"))
        assert held == [{"endpoints-1", "endpoints-2"}, {"endpoints-2"}]

    played(story)


def test_a_heartbeat_of_the_node_writes_nothing() -> None:
    async def story(rig: Rig) -> None:
        rig.api.put(kinds.SERVICES, service())
        await rig.start()
        writes = rig.nft.writes
        beat = {**NODE, "metadata": {**NODE["metadata"], "annotations": {"beat": "1"}}}
        rig.api.put(kinds.NODES, beat)
        await asyncio.sleep(1)
        assert rig.nft.writes == writes

    played(story)


def test_a_flush_by_somebody_else_is_repaired() -> None:
    async def story(rig: Rig) -> None:
        rig.api.put(kinds.SERVICES, service())
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.11"))
        await rig.start()
        rig.nft.meddle("flush ruleset")
        for _ in range(100):
            if rig.nft.tables:
                break
            await asyncio.sleep(0.01)
        await rig.until(FROM_POD, to("10.244.1.11"))
        rig.nft.meddle("flush chain ip kube-proxy services")
        await rig.until(FROM_POD, to("10.244.1.11"))

    played(story)


def test_a_change_that_the_kernel_refuses_ends_right_all_the_same() -> None:
    async def story(rig: Rig) -> None:
        rig.api.put(kinds.SERVICES, service())
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.11"))
        await rig.start()
        rig.nft.refuse = "No buffer space available"
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.12"))
        await rig.until(FROM_POD, to("10.244.1.12"))
        text = rig.metrics.registry.render()
        assert 'kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv4"} 1' in text

    played(story)


def test_a_kernel_that_refuses_at_start_is_asked_again() -> None:
    async def story(rig: Rig) -> None:
        rig.api.put(kinds.SERVICES, service())
        rig.nft.refuse = "Device or resource busy"
        await rig.start()
        assert rig.fate() == {REJECT}

    played(story)


def test_a_kernel_that_keeps_refusing_turns_healthz_and_is_asked_ever_more_rarely() -> None:
    async def story(rig: Rig) -> None:
        rig.api.put(kinds.SERVICES, service())
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.11"))
        await rig.start()
        asked = 0
        commit, run = rig.nft.commit, rig.nft.run

        def refuse(*_: Any) -> str:
            nonlocal asked
            asked += 1
            raise NftError("No buffer space available")

        rig.nft.commit = rig.nft.run = refuse  # type: ignore[assignment,method-assign]
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.12"))
        await asyncio.sleep(30)
        # What was in force stays so, and there is no hurry about it.
        assert rig.fate() == to("10.244.1.11")
        assert rig.wellbeing.healthy
        assert 3 < asked < 20
        await asyncio.sleep(40)
        assert rig.wellbeing.report(with_node=True)[0] == 503
        assert rig.wellbeing.report(with_node=False)[0] == 503
        rig.nft.commit, rig.nft.run = commit, run  # type: ignore[method-assign]
        await asyncio.sleep(11)
        assert rig.fate() == to("10.244.1.12")
        assert rig.wellbeing.report(with_node=True)[0] == 200

    played(story)


def test_a_flush_that_cannot_be_repaired_turns_healthz() -> None:
    async def story(rig: Rig) -> None:
        rig.api.put(kinds.SERVICES, service())
        await rig.start()
        run = rig.nft.run

        def refuse(_: str) -> str:
            raise NftError("Device or resource busy")

        rig.nft.run = refuse  # type: ignore[method-assign]
        rig.nft.tables.clear()
        for watch in rig.nft._watches:
            watch.touch()
        await asyncio.sleep(70)
        assert not rig.wellbeing.healthy
        rig.nft.run = run  # type: ignore[method-assign]
        await asyncio.sleep(11)
        assert rig.wellbeing.healthy
        assert rig.fate() == {REJECT}

    played(story)


def test_everything_is_compared_once_an_hour_whatever_was_noticed() -> None:
    async def story(rig: Rig) -> None:
        rig.api.put(kinds.SERVICES, service())
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.11"))
        await rig.start()
        rig.nft.tables["ip", "kube-proxy"].elements["cluster-ips"].clear()
        await asyncio.sleep(3000)
        assert rig.fate() == {Outcome("pass")}
        await asyncio.sleep(700)
        assert rig.fate() == to("10.244.1.11")

    played(story)


def test_traffic_goes_on_while_the_api_server_is_away() -> None:
    async def story(rig: Rig) -> None:
        rig.api.put(kinds.SERVICES, service())
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.11"))
        await rig.start()

        def refuse(_: Request) -> ApiError | None:
            return ServiceUnavailable("down for a minute")

        rig.api.fail = refuse
        rig.api.cut()
        await asyncio.sleep(60)
        assert rig.fate() == to("10.244.1.11")
        rig.api.fail = lambda _: None
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.12"))
        await asyncio.sleep(60)
        assert rig.fate() == to("10.244.1.12")

    played(story)


def test_a_watch_whose_history_is_gone_lists_again_without_dropping_rules() -> None:
    async def story(rig: Rig) -> None:
        rig.api.put(kinds.SERVICES, service())
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.11"))
        await rig.start()
        writes = rig.nft.writes
        rig.api.oldest = rig.api.revision + 100
        rig.api.cut()
        await asyncio.sleep(5)
        assert rig.fate() == to("10.244.1.11")
        assert rig.nft.writes == writes

    played(story)


def test_udp_flows_leave_an_endpoint_that_is_gone() -> None:
    async def story(rig: Rig) -> None:
        flow = Flow(4, "10.244.1.10", 5000, VIP, 53, "10.244.1.11", 8080)
        kept = Flow(4, "10.244.1.10", 5001, VIP, 53, "10.244.1.12", 8080)
        other = Flow(4, "10.244.1.10", 5002, "8.8.8.8", 53, "8.8.8.8", 53)
        dns = service(ports=[{"port": 53, "protocol": "UDP"}])
        rig.api.put(kinds.SERVICES, dns)
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.11", "10.244.1.12", protocol="UDP"))
        await rig.start()
        rig.conntrack.known = [flow, kept, other]
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.12", protocol="UDP"))
        await asyncio.sleep(0.05)
        assert rig.conntrack.known == [kept, other]
        rig.api.drop(kinds.SERVICES, "web", "default")
        await asyncio.sleep(0.05)
        assert rig.conntrack.known == [other]

    played(story)


def test_a_flow_that_was_under_way_is_cut_by_one_second_look_for_many_changes() -> None:
    async def story(rig: Rig) -> None:
        names = ("10.244.1.11", "10.244.1.12")
        rig.api.put(kinds.SERVICES, service(ports=[{"port": 53, "protocol": "UDP"}]))
        rig.api.put(kinds.ENDPOINTSLICES, slice_of(names[0], protocol="UDP"))
        await rig.start()
        await asyncio.sleep(10)
        looks = rig.conntrack.looks
        for turn in range(1, 21):
            rig.api.put(kinds.ENDPOINTSLICES, slice_of(names[turn % 2], protocol="UDP"))
            await asyncio.sleep(0.05)
        rig.conntrack.known = [Flow(4, "10.244.1.10", 5000, VIP, 53, names[1], 8080)]
        await asyncio.sleep(10)
        assert rig.conntrack.known == []
        assert looks + 20 < rig.conntrack.looks <= looks + 22

    played(story)


def test_stale_flows_are_cut_at_start_and_no_others() -> None:
    async def story(rig: Rig) -> None:
        stale = Flow(4, "10.244.1.10", 5000, VIP, 53, "10.244.9.9", 8080)
        good = Flow(4, "10.244.1.10", 5001, VIP, 53, "10.244.1.11", 8080)
        rig.conntrack.known = [stale, good]
        rig.api.put(kinds.SERVICES, service(ports=[{"port": 53, "protocol": "UDP"}]))
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.11", protocol="UDP"))
        await rig.start()
        await asyncio.sleep(0.05)
        assert rig.conntrack.known == [good]

    played(story)


def test_a_new_zone_of_the_node_changes_who_answers() -> None:
    async def story(rig: Rig) -> None:
        both = slice_of("10.244.1.11", "10.244.1.12")
        for one, zone in zip(both["endpoints"], ("east", "west"), strict=True):
            one["hints"] = {"forZones": [{"name": zone}]}
        rig.api.put(kinds.SERVICES, service())
        rig.api.put(kinds.ENDPOINTSLICES, both)
        await rig.start()
        assert rig.fate() == to("10.244.1.11")
        moved = {"labels": {"topology.kubernetes.io/zone": "west"}}
        rig.api.put(kinds.NODES, {**NODE, "metadata": {**NODE["metadata"], **moved}})
        await rig.until(FROM_POD, to("10.244.1.12"))

    played(story)


def test_unallocated_addresses_of_a_service_range_are_dropped() -> None:
    async def story(rig: Rig) -> None:
        rig.api.put(kinds.SERVICES, service())
        await rig.start()
        nobody = FROM_POD._replace(destination="10.96.9.9")
        assert rig.fate(nobody) == {Outcome("pass")}
        cidr = {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.96.0.0/12"]}}
        rig.api.put(kinds.SERVICECIDRS, cidr)
        await rig.until(nobody, {DROP})

    played(story)


def test_a_node_that_is_about_to_go_is_not_eligible() -> None:
    async def story(rig: Rig) -> None:
        await rig.start()
        assert rig.wellbeing.report(with_node=True)[0] == 200
        taint = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}
        rig.api.put(kinds.NODES, {**NODE, "spec": {"taints": [taint]}})
        await asyncio.sleep(0.05)
        assert rig.wellbeing.report(with_node=True)[0] == 503
        assert rig.wellbeing.report(with_node=False)[0] == 200

    played(story)


def test_a_machine_that_tracks_liberally_keeps_packets_out_of_the_window() -> None:
    async def story(rig: Rig) -> None:
        rig.conntrack.tune({"nf_conntrack_tcp_be_liberal": 1})
        await rig.start()
        (four, six) = rig.backend._settings.families
        assert not four.drop_invalid
        assert not six.drop_invalid

    played(story)


def test_the_time_from_change_to_rules_is_measured() -> None:
    async def story(rig: Rig) -> None:
        rig.api.put(kinds.SERVICES, service())
        rig.api.put(kinds.ENDPOINTSLICES, slice_of("10.244.1.11"))
        await rig.start()
        changed = slice_of("10.244.1.12")
        changed["metadata"]["annotations"] = {
            "endpoints.kubernetes.io/last-change-trigger-time": "2023-11-14T22:13:20Z"
        }
        rig.api.put(kinds.ENDPOINTSLICES, changed)
        await rig.until(FROM_POD, to("10.244.1.12"))
        text = rig.metrics.registry.render()
        assert 'network_programming_duration_seconds_count{ip_family="IPv4"} 1' in text

    played(story)
