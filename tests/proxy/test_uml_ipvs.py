"""IPVS mode on a kernel that has it: User-Mode Linux, booted for the purpose in a few seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.proxy import uml

pytestmark = pytest.mark.kernel
CASES = (
    "clusterip-one-endpoint",
    "clusterip-three-endpoints",
    "clusterip-no-endpoints",
    "clusterip-udp",
    "clusterip-unknown-port",
    "nodeport",
    "loadbalancer",
    "external-local",
    "external-ips",
    "source-ranges",
    "affinity-two-endpoints",
    "hairpin",
    "all-draining",
    "internal-local",
    "two-services-share-endpoints",
    "ipv6-clusterip",
)


def test_ipvs_treats_packets_as_the_stories_say(tmp_path: Path) -> None:
    lines = uml.told(tmp_path, "tests.proxy.uml_ipvs", *CASES)
    assert "probe good" in lines, lines
    assert [line for line in lines if line.startswith("FAIL")] == []
    assert len([line for line in lines if line.startswith("PASS")]) == len(CASES) + 2
