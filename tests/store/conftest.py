"""The implementations of the storage contract: one line each gets every test of the room."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sampan.store.base import Store
from sampan.store.memory import MemoryStore
from sampan.store.sqlite import SqliteStore

IMPLEMENTATIONS: dict[str, Callable[[Path], Store]] = {
    "memory": lambda folder: MemoryStore(),
    "sqlite": lambda folder: SqliteStore(folder / "store.db"),
}


@pytest.fixture(params=IMPLEMENTATIONS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made = IMPLEMENTATIONS[request.param](tmp_path)
    yield made
    await made.close()
