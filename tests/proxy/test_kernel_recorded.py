"""A sample of the recorded packets through the running proxy, in every mode: what became of them
under upstream's is the truth. All of them are replayed by tests/recorded/proxy/replay.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from sampan.api import kinds
from sampan.api.meta import Json
from tests.proxy.conftest import LAB
from tests.proxy.life import Running

pytestmark = pytest.mark.kernel
MODES = ("nftables", "iptables", "ebpf", "userspace")
SAMPLE = (
    "clusterip-three",
    "detect-interface-prefix",
    "detect-node-cidr",
    "external-local",
    "hairpin",
    "hints-zone",
    "ipv6-only",
    "terminating-fallback",
    "change-udp-first-endpoint",
    "change-terminating",
)
"""What upstream's modes and ours could differ in, and no line that waits for packets that are
dropped for long.
"""
KINDS = {"Node": kinds.NODES, "Service": kinds.SERVICES, "EndpointSlice": kinds.ENDPOINTSLICES}
DEFAULT = {"clusterCIDR": "10.244.0.0/16,fd00:10:244::/56"}


@pytest.fixture(scope="module")
def replay(lab: ModuleType) -> ModuleType:
    """The tool that recorded them."""
    sys.path.insert(0, str(LAB))
    try:
        import replay as module
    finally:
        sys.path.remove(str(LAB))
    return module


@pytest.mark.parametrize("mode", MODES)
def test_recorded_packets_meet_what_upstreams_met(
    mode: str, replay: ModuleType, run: Callable[..., Running]
) -> None:
    differing = {}
    for name in SAMPLE:
        case = LAB / name
        proxy = run(mode, **{**DEFAULT, **_config(case)})
        found = [line for line in _played(proxy, case, mode, replay) if line]
        proxy.stop()
        if found:
            differing[name] = "\n".join(found)
    assert not differing, differing


def _config(case: Path) -> Json:
    own = case / "config.yaml"
    given: Json = yaml.safe_load(own.read_text()) if own.exists() else {}
    return given


def _played(proxy: Running, case: Path, mode: str, replay: ModuleType) -> Iterator[str]:
    flows: dict[str, Any] = {}
    there: dict[tuple[Any, str], Json] = {}
    for step, items in yaml.safe_load((case / "packets.yaml").read_text()).items():
        objects = yaml.safe_load_all((case / step / "objects.yaml").read_text())
        # The fake tells every Node of every other one.
        wanted = {
            (KINDS[one["kind"]], one["metadata"]["name"]): one
            for one in objects
            if one["kind"] != "Node" or one["metadata"]["name"] == "n1"
        }
        if there:
            for rid, name in there.keys() - wanted.keys():
                proxy.drop(rid, name)
            proxy.put_in_force(*((rid, one) for (rid, _), one in wanted.items()))
        else:
            proxy.put(*((rid, one) for (rid, _), one in wanted.items()))
            proxy.start()
        there = wanted
        for item, seen in replay.observe_all(items, flows, mode):
            yield replay.difference(step, item, seen, mode)
    for flow in flows.values():
        flow.close()
