"""A short run of the fuzzer; `tools/fuzz_dns.py` goes on for as long as one likes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "fuzz_dns.py"
COUNT = {"codec": 6000, "corefile": 1200, "zone": 200, "words": 1500}


@pytest.mark.parametrize("target", COUNT)
def test_no_input_crashes_or_hangs(target: str) -> None:
    done = subprocess.run(
        [sys.executable, str(TOOL), target, "--count", str(COUNT[target]), "--seconds", "60"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{target}: " in done.stdout
