"""What load balancers and operators ask the proxy over HTTP."""

from __future__ import annotations

import asyncio
import json

import pytest

from sampan.api.meta import Json, Key
from sampan.proxy.config import configuration
from sampan.proxy.health import HealthPorts, Wellbeing, health_pages
from sampan.proxy.metrics import Metrics
from sampan.proxy.model import Health
from sampan.proxy.pages import metrics_pages
from sampan.std.http import Handler, Request
from sampan.testing.clock import JumpingClock, run_jumping

KEY = Key("default", "web")


class NoServer:
    """Stands for a listening server."""

    def __init__(self) -> None:
        self.closed = False

    async def close(self, _: float = 0) -> None:
        self.closed = True


def test_a_change_that_waits_too_long_is_unhealthy() -> None:
    async def main() -> None:
        state = Wellbeing(JumpingClock(), patience_s=60)
        assert state.healthy, "as upstream, while it starts"
        state.done()
        assert state.healthy
        state.queue()
        await asyncio.sleep(59)
        assert state.healthy
        await asyncio.sleep(2)
        assert not state.healthy
        state.done()
        assert state.healthy

    run_jumping(main())


def test_healthz_has_the_node_and_livez_has_not() -> None:
    async def main() -> None:
        counted: list[tuple[str, int]] = []
        state = Wellbeing(JumpingClock())
        state.done()
        state.see_node(None)
        handle = health_pages(state, lambda page, status: counted.append((page, status)))
        healthz = await handle(Request("GET", "/healthz"))
        livez = await handle(Request("GET", "/livez"))
        other = await handle(Request("GET", "/other"))
        assert (healthz.status, livez.status, other.status) == (503, 200, 404)
        assert json.loads(await healthz.read())["nodeEligible"] is False
        assert "nodeEligible" not in json.loads(await livez.read())
        assert counted == [("healthz", 503), ("livez", 200)]

    run_jumping(main())


@pytest.mark.parametrize(
    ("node", "eligible"),
    [
        ({"metadata": {}}, True),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, False),
        ({"metadata": {}, "spec": {"taints": [{"key": "node.kubernetes.io/not-ready"}]}}, True),
        ({"metadata": {}, "spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]}}, False),
        (None, False),
    ],
)
def test_a_node_that_goes_is_not_eligible(node: Json | None, eligible: bool) -> None:
    async def main() -> None:
        state = Wellbeing(JumpingClock())
        state.done()
        state.see_node(node)
        assert state.report(with_node=True)[0] == (200 if eligible else 503)
        assert state.report(with_node=True)[1]["nodeEligible"] is eligible
        assert state.report(with_node=False)[0] == 200

    run_jumping(main())


def test_health_ports_are_refused_when_the_proxy_is_not_well() -> None:
    async def main() -> None:
        pages: list[Handler] = []

        async def opens(handler: Handler, address: str, port: int) -> NoServer:
            pages.append(handler)
            return NoServer()

        well = True
        ports = HealthPorts(lambda: well, ("192.168.77.1",), open=opens)  # type: ignore[arg-type]
        await ports.sync({KEY: Health(32080, 2)})
        assert (await pages[0](Request("GET", "/"))).status == 200
        well = False
        answer = await pages[0](Request("GET", "/"))
        assert answer.status == 503
        assert json.loads(await answer.read()) == {
            "service": {"namespace": "default", "name": "web"},
            "localEndpoints": 2,
            "serviceProxyHealthy": False,
        }

    run_jumping(main())


def test_other_addresses_are_opened_and_those_of_before_closed() -> None:
    async def main() -> None:
        opened: dict[str, NoServer] = {}

        async def opens(_: Handler, address: str, port: int) -> NoServer:
            opened[address] = NoServer()
            return opened[address]

        ports = HealthPorts(lambda: True, ("192.0.2.1",), open=opens)  # type: ignore[arg-type]
        await ports.sync({KEY: Health(32080, 2)})
        ports.addresses = ("192.0.2.2",)
        await ports.sync({KEY: Health(32080, 2)})
        assert opened["192.0.2.1"].closed
        assert not opened["192.0.2.2"].closed

    run_jumping(main())


def test_health_ports_follow_the_services() -> None:
    async def main() -> None:
        opened: list[tuple[str, int]] = []
        servers: list[NoServer] = []
        pages: list[Handler] = []

        async def opens(handler: Handler, address: str, port: int) -> NoServer:
            opened.append((address, port))
            pages.append(handler)
            servers.append(NoServer())
            return servers[-1]

        ports = HealthPorts(lambda: True, ("192.168.77.1",), open=opens)  # type: ignore[arg-type]
        await ports.sync({KEY: Health(32080, 2)})
        answer = await pages[0](Request("GET", "/any"))
        assert opened == [("192.168.77.1", 32080)]
        assert answer.status == 200
        assert answer.headers["X-Load-Balancing-Endpoint-Weight"] == "2"
        await ports.sync({KEY: Health(32080, 0)})
        assert (await pages[0](Request("GET", "/"))).status == 503
        assert len(opened) == 1
        await ports.sync({KEY: Health(32081, 1)})
        assert servers[0].closed
        assert opened[-1] == ("192.168.77.1", 32081)
        await ports.sync({})
        assert servers[1].closed

    run_jumping(main())


def test_the_metrics_port_has_upstreams_pages() -> None:
    async def main() -> None:
        metrics = Metrics("nftables")
        handle = metrics_pages(metrics.registry, configuration(), 0)
        mode = await handle(Request("GET", "/proxyMode"))
        config = await handle(Request("GET", "/configz"))
        page = await handle(Request("GET", "/metrics"))
        assert await mode.read() == b"nftables"
        assert "kubeproxy.config.k8s.io" in json.loads(await config.read())
        assert b"kubeproxy_sync_proxy_rules_duration_seconds" in await page.read()
        assert (await handle(Request("GET", "/debug/pprof/"))).status == 404

    run_jumping(main())
