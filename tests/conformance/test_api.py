"""What upstream answered, asked again of `sampan apiserver`: every recorded HTTP scenario."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

RECORDED = Path(__file__).parent.parent / "recorded" / "api"
TOKEN = "recorder"
PARTS = (
    ("kinds", "flows", "access"),
    ("validation", "patch", "discovery"),
    ("list", "watch", "delete", "subresource"),
)


@contextmanager
def api_server(folder: Path) -> Iterator[str]:
    """The command itself, on a free port of loopback; its URL."""
    log, tokens = folder / "log", folder / "tokens.csv"
    tokens.write_text(f'{TOKEN},recorder,1,"system:masters"\n')
    with log.open("w") as out:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "sampan", "apiserver", "--data-dir", str(folder / "data"),
                "--bind-address", "127.0.0.1", "--secure-port", "0",
                "--token-auth-file", str(tokens), "--enable-admission-plugins", "NodeRestriction",
            ],
            stderr=out,
        )  # fmt: skip
    try:
        while not (found := re.search(r"serving .*port=(\d+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.01)
        yield f"https://127.0.0.1:{found[1]}"
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.mark.parametrize("folders", PARTS, ids="-".join)
def test_recorded_scenarios_are_answered_as_upstream_does(
    folders: tuple[str, ...], tmp_path: Path
) -> None:
    summary = tmp_path / "summary.json"
    with api_server(tmp_path) as url:
        subprocess.run(
            [
                sys.executable, str(RECORDED / "replay.py"), "run", "--server", url,
                "--token", TOKEN, "--insecure", "--json", str(summary),
                *(str(RECORDED / folder) for folder in folders),
            ],
            check=False,
            capture_output=True,
            timeout=120,
        )  # fmt: skip
    scenarios = json.loads(summary.read_text())["scenarios"]
    assert scenarios
    failed = {name: lines for name, lines in scenarios.items() if lines}
    assert not failed, "\n".join(f"{n}:\n" + "\n".join(lines) for n, lines in failed.items())
