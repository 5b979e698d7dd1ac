"""What IPVS' virtual servers promise, on a kernel that has them; and SCTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.proxy import uml

pytestmark = pytest.mark.kernel
TRIES = ("schedulers", "persistence", "drain", "datagrams", "rules", "sctp")


def test_virtual_servers_schedule_persist_and_drain(tmp_path: Path) -> None:
    lines = uml.told(tmp_path, "tests.proxy.uml_servers", *TRIES)
    assert [line for line in lines if line.startswith("FAIL")] == []
    assert [line.split()[1] for line in lines if line.startswith("PASS")] == list(TRIES)
