"""A kubelet with its port and one running pod."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kubelet.bench import app
from tests.kubelet.port import Live


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    bench = Live(tmp_path)
    async with bench.running():
        bench.pod("p", app("c", "serve"))
        await bench.ready()
        yield bench
