"""What load balancers and operators ask the proxy over HTTP."""

from __future__ import annotations

import asyncio
import json

from sampan.api.meta import Key
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
        assert not state.healthy
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
