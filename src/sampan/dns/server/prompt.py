"""A coroutine run at once, without a task, for as far as it gets without waiting.

Most answers never wait; a task and a turn of the event loop would cost them as much as the answer.
"""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Done(NamedTuple, Generic[T]):
    result: T


class Waiting(NamedTuple, Generic[T]):
    """`rest` is to be awaited by a task."""

    rest: Coroutine[Any, Any, T]


def begin(work: Coroutine[Any, Any, T]) -> Done[T] | Waiting[T]:
    """The result, or what is left to be awaited."""
    try:
        first = work.send(None)
    except StopIteration as done:
        return Done(done.value)
    return Waiting(_rest(work, first))


async def _rest(work: Coroutine[Any, Any, T], waits_for: Any) -> T:
    """Hand on what the work waits for, and hand back what comes of it."""
    try:
        while True:
            try:
                got = await _handed_on(waits_for)
            except BaseException as bad:  # noqa: BLE001 - cancellation too is the work's business
                waits_for = work.throw(bad)
            else:
                waits_for = work.send(got)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        work.close()


@types.coroutine
def _handed_on(waits_for: Any) -> Generator[Any, Any, Any]:
    return (yield waits_for)
