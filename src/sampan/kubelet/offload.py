"""Slow file work off the event loop; tests whose time jumps do it in place instead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol


class Offload(Protocol):
    """Call `work(*args)` without holding up others."""

    async def __call__(self, work: Callable[..., Any], /, *args: Any) -> Any: ...


async def to_thread(work: Callable[..., Any], /, *args: Any) -> Any:
    return await asyncio.to_thread(work, *args)


async def in_place(work: Callable[..., Any], /, *args: Any) -> Any:
    return work(*args)
