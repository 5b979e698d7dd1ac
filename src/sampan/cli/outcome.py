"""Exit codes, and errors as one clear line: the same for every command."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import IntEnum


class Exit(IntEnum):
    """What a script may rely on."""

    OK = 0
    FAILED = 1
    USAGE = 2
    MACHINE = 3
    """A privilege or kernel feature is missing."""
    BUSY = 4
    """The name or an address range is taken."""
    TIMEOUT = 5


def failed(code: Exit, message: object) -> int:
    print(f"sampan: {message}", file=sys.stderr)
    return int(code)


def guarded(work: Callable[[], int]) -> int:
    """Run a command; what went wrong becomes one line and the exit code that stands for it."""
    from sampan.api.errors import ApiError
    from sampan.client.kubeconfig import BadKubeconfig
    from sampan.client.transport import Unreachable
    from sampan.cluster.bringup import Busy
    from sampan.cluster.config import BadConfig
    from sampan.cluster.machine import MachineLacks
    from sampan.cluster.network import RangeBusy

    codes: tuple[tuple[type[Exception], Exit], ...] = (
        (BadConfig, Exit.USAGE),
        (MachineLacks, Exit.MACHINE),
        (Busy, Exit.BUSY),
        (RangeBusy, Exit.BUSY),
        (TimeoutError, Exit.TIMEOUT),
        (PermissionError, Exit.MACHINE),
        (ApiError, Exit.FAILED),
        (BadKubeconfig, Exit.FAILED),
        (Unreachable, Exit.FAILED),
        (OSError, Exit.FAILED),
    )
    try:
        return work()
    except KeyboardInterrupt:
        return 130
    except tuple(kind for kind, _ in codes) as error:
        return failed(next(code for kind, code in codes if isinstance(error, kind)), _line(error))


def _line(error: Exception) -> str:
    """What the user reads."""
    if isinstance(error, PermissionError):
        return f"{error.strerror}: {error.filename or ''}: run it with sudo"
    return f"not ready in time: {error}" if isinstance(error, TimeoutError) else str(error)
