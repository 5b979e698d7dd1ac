"""Many calls at once, carefully: one first, then twice as many as long as all go well, so that a
refusal (a quota, a broken template) costs one call and not hundreds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def slow_start(
    count: int, call: Callable[[], Awaitable[None]]
) -> tuple[int, Exception | None]:
    """How many calls went well, and the first error, behind which no new batch was begun."""
    done, size = 0, 1
    while done < count:
        size = min(size, count - done)
        results = await asyncio.gather(*(call() for _ in range(size)), return_exceptions=True)
        problems = [result for result in results if isinstance(result, BaseException)]
        done += size - len(problems)
        for problem in problems:
            if not isinstance(problem, Exception):
                raise problem
            return done, problem
        size *= 2
    return done, None
