"""The proxy's own pages, metrics, configuration keys and flags against upstream's, as recorded."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import yaml

from sampan.api import kinds
from tests.proxy.conftest import LAB
from tests.proxy.life import MACHINE, Api, Process, endpoints, service, until

SURFACE = yaml.safe_load((LAB / "surface" / "surface.yaml").read_text())
TAINT = {"key": "ToBeDeletedByClusterAutoscaler", "value": "1", "effect": "NoSchedule"}
TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"
PAGES = "127.0.0.1:10249"


@pytest.fixture(scope="module")
def surface() -> ModuleType:
    """The tool that recorded it."""
    sys.path.insert(0, str(LAB))
    try:
        import surface as module
    finally:
        sys.path.remove(str(LAB))
    return module


def seen(surface: ModuleType, page: str) -> Any:
    return surface.hide_volatile(surface.http("node", f"http {page}"))


def test_flags_and_their_defaults_are_upstreams(surface: ModuleType) -> None:
    got = surface.flags(f"{sys.executable} -m sampan proxy --help")
    recorded = SURFACE["flags"]
    assert {name: got.get(name) for name in recorded} == recorded


@pytest.mark.kernel
@pytest.mark.parametrize("mode", ["nftables", "iptables", "ebpf", "userspace"])
def test_pages_metrics_and_configuration_keys_are_upstreams(
    mode: str,
    lab: ModuleType,
    api: Api,
    start: Callable[..., Process],
    surface: ModuleType,
) -> None:
    api.put(service(), endpoints("b1"))
    start(mode)
    kind, changed = endpoints("b2")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    changed["metadata"]["annotations"] = {TRIGGER: now}
    api.put((kind, changed))
    recorded = SURFACE.get(mode, SURFACE["nftables"])
    metrics = {
        name: kind for name, kind in recorded["metrics"].items() if name.startswith("kubeproxy_")
    }

    def shown() -> dict[str, str]:
        text = surface.http("node", f"http {PAGES}/metrics")["body"]
        found: dict[str, str] = surface.metrics(text)
        return {name: found.get(name, "") for name in metrics}

    # What counts changes appears with the change.
    deadline = time.monotonic() + 10
    until(lambda: shown() == metrics or time.monotonic() > deadline, 20)
    assert shown() == metrics
    configz = surface.http("node", f"http {PAGES}/configz")["json"]
    assert set(recorded["configz"]) <= set(surface.keys(configz))
    for page, answer in recorded["http"].items():
        wanted = {**answer, "body": mode} if page.endswith("/proxyMode") else answer
        page, _, state = page.partition(" ")
        if state:
            taints = {"untainted": []}.get(state.split()[1], [TAINT])
            api.put((kinds.NODES, {**MACHINE, "spec": {"taints": taints}}))
        until(lambda page=page, wanted=wanted: seen(surface, page) == wanted, 10)  # type: ignore[misc]
