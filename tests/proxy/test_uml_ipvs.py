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
TRIES = ("schedulers", "persistence", "drain", "datagrams", "rules", "sctp")
TOO_WIDE = "this processor has more registers than User-Mode Linux can hold"


def told(folder: Path, *command: str) -> list[str]:
    """What a module says on a kernel with IPVS."""
    if uml.missing():
        pytest.skip(f"{uml.missing()} is missing; {uml.REMEDY}")
    console = uml.boot(folder, command)
    if "put_fp_registers" in console:
        pytest.skip(TOO_WIDE)
    lines = uml.said(console)
    if "started" not in lines:
        pytest.skip(f"User-Mode Linux does not boot here: {console.strip()[-200:]}")
    assert "over" in lines, console[-2000:]
    return lines


def test_ipvs_treats_packets_as_the_stories_say(tmp_path: Path) -> None:
    lines = told(tmp_path, "tests.proxy.uml_ipvs", *CASES)
    assert "probe good" in lines, lines
    assert [line for line in lines if line.startswith("FAIL")] == []
    assert len([line for line in lines if line.startswith("PASS")]) == len(CASES) + 2


def test_virtual_servers_schedule_persist_and_drain(tmp_path: Path) -> None:
    lines = told(tmp_path, "tests.proxy.uml_servers", *TRIES)
    assert [line for line in lines if line.startswith("FAIL")] == []
    assert [line.split()[1] for line in lines if line.startswith("PASS")] == list(TRIES)
