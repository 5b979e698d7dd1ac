"""The whole proxy in IPVS mode on a kernel that has it: flows of UDP, and modes in turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.proxy import uml
from tests.proxy.life import note

pytestmark = pytest.mark.kernel
TRIES = ("flows", "modes")


def test_flows_go_with_their_endpoints_and_modes_leave_nothing(tmp_path: Path) -> None:
    lines = uml.told(tmp_path, "tests.proxy.uml_life", *TRIES)
    assert [line for line in lines if line.startswith("FAIL")] == []
    passed = [line for line in lines if line.startswith("PASS")]
    assert [line.split()[1] for line in passed] == list(TRIES)
    for line in passed:
        note(f"ipvs: {line}")
