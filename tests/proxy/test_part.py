"""The proxy as it is deployed: its rights, its events, its pages, what it leaves and removes."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest
import yaml

from sampan.api import kinds
from sampan.api.errors import ApiError, Forbidden
from sampan.api.meta import Json
from sampan.cli.proxy import ConfigChanged, until_changed
from sampan.client.client import Client
from sampan.cluster.parts.proxy import ProxyPart, ProxySettings, build, clean
from sampan.cluster.parts.proxy_kernel import Kernel
from sampan.linux.base.iptables_text import parse
from sampan.linux.base.nft import NftError
from sampan.linux.fake.bpf import FakeSocketBalancer
from sampan.linux.fake.conntrack import FakeConntrack
from sampan.linux.fake.iptables import FakeIptables
from sampan.linux.fake.ipvs import FakeIpsets, FakeIpvs
from sampan.linux.fake.links import FakeLinks, FakeNamespaces
from sampan.linux.fake.nft import FakeNft
from sampan.proxy.backends.ebpf.backend import EbpfBackend
from sampan.proxy.backends.iptables.backend import IptablesBackend
from sampan.proxy.backends.ipvs.backend import IpvsBackend
from sampan.proxy.backends.nftables.backend import NftablesBackend
from sampan.proxy.config import configuration
from sampan.proxy.settings import Settings
from sampan.std.http import Request
from sampan.testing.api import FakeApi

REPO = Path(__file__).parents[2]
BUILTIN = REPO / "src/sampan/api/facts/initial-objects.json"
MANIFEST = REPO / "deploy/proxy.yaml"
NOTHING = Settings("")
NODE: Json = {
    "metadata": {"name": "n1"},
    "status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]},
}
Right = tuple[str, str, str]


class Machine:
    """A kernel in memory, and the proxy of node n1 on it."""

    def __init__(self, mode: str = "nftables", **config: object) -> None:
        self.api = FakeApi()
        self.api.put(kinds.NODES, NODE)
        self.nft = FakeNft()
        self.tools = [FakeIptables(4), FakeIptables(6)]
        self.ipvs = FakeIpvs()
        self.balancer = FakeSocketBalancer()
        self.conntrack = FakeConntrack()
        nothing = {"healthzBindAddress": "", "metricsBindAddress": "", "mode": mode}
        self.config = configuration({**nothing, **config})

    def kernel(self) -> Kernel:
        inner = NftablesBackend(self.nft, NOTHING)
        return Kernel(
            self.conntrack,
            FakeLinks(FakeNamespaces()),
            {
                "nftables": lambda: inner,
                "iptables": lambda: IptablesBackend(self.tools, NOTHING),
                "ebpf": lambda: EbpfBackend(inner, self.balancer, NOTHING),
                "ipvs": lambda: IpvsBackend(self.ipvs, FakeIpsets(), self.tools),
            },
        )

    def part(self) -> ProxyPart:
        return build(Client(self.api), ProxySettings("n1", self.config), self.kernel())


async def running(part: ProxyPart, story: Callable[[], Awaitable[None]]) -> None:
    """Run the part until the story is told."""
    started = asyncio.Event()
    task = asyncio.ensure_future(part.run(started.set))
    try:
        waiting = asyncio.ensure_future(started.wait())
        await asyncio.wait((task, waiting), timeout=10, return_when=asyncio.FIRST_COMPLETED)
        assert started.is_set()
        await story()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.005)
    assert true()


def service(**spec: object) -> Json:
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30080}]
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"type": "LoadBalancer", "clusterIPs": ["10.96.0.1"], "ports": ports, **spec},
    }


# Rights.


def rights(rules: Iterable[Json]) -> set[Right]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def builtin() -> set[Right]:
    for line in BUILTIN.read_text().splitlines():
        if '"name":"system:node-proxier"' in line and '"rules"' in line:
            return rights(json.loads(line.rstrip(","))["rules"])
    raise AssertionError("no ClusterRole system:node-proxier")


def deployed() -> set[Right]:
    documents = list(yaml.safe_load_all(MANIFEST.read_text()))
    return rights(next(one["rules"] for one in documents if one["kind"] == "ClusterRole"))


def needed(request: Request) -> Right:
    parts = request.path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    if rest[0] == "namespaces" and len(rest) > 2:
        rest = rest[2:]
    verb = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}.get(
        request.method, "get" if len(rest) > 1 else "list"
    )
    return (group, rest[0], "watch" if "watch=" in request.query else verb)


def only(api: FakeApi, allowed: set[Right], used: set[Right]) -> None:
    """Let the server grant these rights alone; note down what was asked."""

    def judge(request: Request) -> ApiError | None:
        used.add(needed(request))
        return None if needed(request) in allowed else Forbidden(f"no {needed(request)}")

    api.fail = judge


@pytest.mark.parametrize("allowed", [builtin(), deployed()], ids=["builtin", "deployed"])
def test_the_proxy_asks_for_no_more_than_it_may(allowed: set[Right]) -> None:
    async def main() -> None:
        machine = Machine()
        machine.api.put(kinds.SERVICES, service())
        used: set[Right] = set()
        only(machine.api, allowed, used)

        async def story() -> None:
            await until(lambda: ("", "events", "create") in used)
            assert "kube-proxy" in str(machine.nft.tables)

        await running(machine.part(), story)
        assert used <= allowed
        # Repeated events are patched; that is the one right that a quiet minute does not use.
        assert deployed() - used <= {("", "events", "patch")}

    asyncio.run(main())


def test_what_the_proxy_may_not_do_is_one_line_each(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        machine = Machine()
        machine.conntrack.forbidden = frozenset({"nf_conntrack_max"})
        allowed = {one for one in builtin() if one[1] not in ("servicecidrs", "events")}
        used: set[Right] = set()
        only(machine.api, allowed, used)

        async def story() -> None:
            await until(lambda: sum("list" in one.message for one in caplog.records) >= 1)
            part.proxy.tell(NODE, "Normal", "Again", "")
            await asyncio.sleep(0)
            await until(lambda: part.recorder._queue.empty())

        part = machine.part()
        await running(part, story)

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    told = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert len([one for one in told if "servicecidrs" in one]) == 1
    assert len([one for one in told if "events cannot be told" in one]) == 1
    assert len([one for one in told if "nf_conntrack_max" in one]) == 1


# Events.


def test_the_start_is_told_at_the_node() -> None:
    async def main() -> None:
        machine = Machine()

        async def story() -> None:
            await until(lambda: bool(machine.api.all(kinds.EVENTS)))

        await running(machine.part(), story)
        (event,) = machine.api.all(kinds.EVENTS)
        assert event["involvedObject"] == {"kind": "Node", "name": "n1", "uid": "n1",
                                           "namespace": ""}  # fmt: skip
        assert (event["type"], event["reason"]) == ("Normal", "Starting")
        assert event["source"] == {"component": "kube-proxy", "host": "n1"}

    asyncio.run(main())


def test_a_health_port_that_somebody_else_has_is_told_and_others_go_on() -> None:
    async def main() -> None:
        machine = Machine("nftables", nodePortAddresses=["127.0.0.0/8"], bindAddress="127.0.0.1")
        with socket.create_server(("127.0.0.1", 0)) as other:
            taken = other.getsockname()[1]
            with socket.create_server(("127.0.0.1", 0)) as free:
                number = free.getsockname()[1]
            mine = service(externalTrafficPolicy="Local", healthCheckNodePort=taken)
            more = service(
                externalTrafficPolicy="Local",
                healthCheckNodePort=number,
                clusterIPs=["10.96.0.2"],
                ports=[{"port": 81, "protocol": "TCP", "nodePort": 30081}],
            )
            more["metadata"]["name"] = "more"
            machine.api.put(kinds.SERVICES, mine)
            machine.api.put(kinds.SERVICES, more)

            async def story() -> None:
                await until(lambda: len(machine.api.all(kinds.EVENTS)) == 2)
                event = next(
                    one for one in machine.api.all(kinds.EVENTS) if one["type"] == "Warning"
                )
                assert event["reason"] == "FailedToStartServiceHealthcheck"
                assert event["involvedObject"]["name"] == "web"
                assert str(taken) in event["message"]
                with socket.create_connection(("127.0.0.1", number), timeout=5):
                    pass
                other.close()
                # It is tried again whenever anything about health ports changes.
                await part.proxy._health.again()
                with socket.create_connection(("127.0.0.1", taken), timeout=5):
                    pass

            part = machine.part()
            await running(part, story)

    asyncio.run(main())


# Pages and figures.


def test_no_local_endpoint_is_counted_by_policy_and_family() -> None:
    async def main() -> None:
        machine = Machine()
        machine.api.put(kinds.SERVICES, service(externalTrafficPolicy="Local"))
        machine.api.put(
            kinds.ENDPOINTSLICES,
            {
                "metadata": {
                    "name": "web-a",
                    "namespace": "default",
                    "labels": {"kubernetes.io/service-name": "web"},
                },
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.244.2.11"], "nodeName": "n2"}],
                "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
            },
        )

        async def story() -> None:
            page = part.proxy.metrics.registry.render()
            for family, policy, count in (("IPv4", "external", 1), ("IPv4", "internal", 0),
                                          ("IPv6", "external", 0)):  # fmt: skip
                labels = f'ip_family="{family}",traffic_policy="{policy}"'
                name = "kubeproxy_sync_proxy_rules_no_local_endpoints_total"
                assert f"{name}{{{labels}}} {count}" in page
            assert "kubeproxy_sync_proxy_rules_service_changes_total 1" in page
            assert "kubeproxy_sync_proxy_rules_service_changes_pending 0" in page
            assert 'last_queued_timestamp_seconds{ip_family="IPv4"} 0\n' not in page

        part = machine.part()
        await running(part, story)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        ("nftables", ("nftables_sync", "nftables_cleanup")),
        ("iptables", ("iptables_restore", "iptables_partial_restore")),
        ("ipvs", ("iptables_restore", "iptables_partial_restore")),
    ],
)
def test_failures_have_upstreams_names_in_each_mode(mode: str, names: tuple[str, ...]) -> None:
    async def main() -> None:
        page = Machine(mode).part().proxy.metrics.registry.render()
        prefix = "kubeproxy_sync_proxy_rules_"
        found = {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")}
        wanted = {f"{prefix}{name}_failures_total" for name in names}
        assert {one for one in found if one.endswith("failures_total")} == wanted
        assert "kubeproxy_conntrack_reconciler_sync_duration_seconds" in found

    asyncio.run(main())


# What is left, what is removed.


def test_a_mode_leaves_nothing_of_the_others() -> None:
    async def main() -> None:
        machine = Machine()
        modes = ("nftables", "iptables", "ipvs", "ebpf", "iptables", "nftables", "ipvs", "nftables")
        for mode in modes:
            machine.config = configuration(machine.config, {"mode": mode})
            machine.api.put(kinds.SERVICES, service())

            async def story(mode: str = mode) -> None:
                wanted = {"ebpf": {"ebpf", "nftables"}}.get(mode, {mode})
                await until(lambda: traces(machine) == wanted)
                forgetting = [t for t in asyncio.all_tasks() if "cleanup" in t.get_name()]
                await asyncio.gather(*forgetting)

            await running(machine.part(), story)
            assert traces(machine) == {"ebpf": {"ebpf", "nftables"}}.get(mode, {mode})

    asyncio.run(main())


def traces(machine: Machine) -> set[str]:
    """Whose rules there are."""
    chains = {
        name for tool in machine.tools for _, name in parse(tool.save()) if name.startswith("KUBE")
    }
    return {
        mode
        for mode, there in (
            ("nftables", bool(machine.nft.tables)),
            ("ebpf", machine.balancer.attached),
            ("ipvs", machine.ipvs.holds("kube-ipvs0") and "KUBE-IPVS-FILTER" in chains),
            ("half of ipvs", machine.ipvs.holds("kube-ipvs0") != ("KUBE-IPVS-FILTER" in chains)),
            ("iptables", bool(chains) and "KUBE-IPVS-FILTER" not in chains),
        )
        if there
    }


def test_cleanup_removes_everything_twice_over() -> None:
    async def main() -> None:
        for mode in ("nftables", "iptables", "ipvs", "ebpf"):
            machine = Machine(mode)
            machine.api.put(kinds.SERVICES, service())

            async def story() -> None:
                return None

            await running(machine.part(), story)
            assert traces(machine)
            assert await clean(machine.kernel()) == []
            assert traces(machine) == set()
            assert await clean(machine.kernel()) == []

    asyncio.run(main())


def test_cleanup_says_what_it_could_not_remove_and_removes_the_rest() -> None:
    async def main() -> None:
        machine = Machine("iptables")
        machine.api.put(kinds.SERVICES, service())

        async def story() -> None:
            return None

        await running(machine.part(), story)

        def refuse(*_: str) -> str:
            raise NftError("Operation not permitted")

        machine.nft.listing = refuse  # type: ignore[method-assign]
        assert await clean(machine.kernel()) == ["nftables: nftables: Operation not permitted"]
        assert traces(machine) == set()

    asyncio.run(main())


# The manifest and the file.


def test_the_manifest_is_one_that_a_cluster_takes() -> None:
    documents = {one["kind"]: one for one in yaml.safe_load_all(MANIFEST.read_text())}
    account = documents["ServiceAccount"]["metadata"]
    binding = documents["ClusterRoleBinding"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account["name"],
                                    "namespace": account["namespace"]}]  # fmt: skip
    assert binding["roleRef"]["name"] == documents["ClusterRole"]["metadata"]["name"]
    pod = documents["DaemonSet"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account["name"]
    assert pod["hostNetwork"] is True
    assert deployed() <= builtin()
    volumes = {one["name"] for one in pod["volumes"]}
    assert {one["name"] for one in pod["containers"][0]["volumeMounts"]} <= volumes


def test_a_changed_file_of_configuration_ends_the_process(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "config.yaml"
        path.write_text("one")
        watch = asyncio.ensure_future(until_changed(str(path), 0.01))
        await asyncio.sleep(0.05)
        assert not watch.done()
        path.write_text("two")
        with pytest.raises(ConfigChanged, match=r"config\.yaml"):
            async with asyncio.timeout(5):
                await watch

    asyncio.run(main())
