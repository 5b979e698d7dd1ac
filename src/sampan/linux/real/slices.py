"""How long the kernel lets this process run at a time where others want the same processor."""

from __future__ import annotations

import ctypes
import os
import platform
import struct

_NUMBERS = {"x86_64": 314, "aarch64": 274}
"""Of `sched_setattr`, which the C library has no function for."""
# struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period.
_ATTR = struct.Struct("=IIQiIQQQ")
_NORMAL = 0


def shorten(slice_s: float) -> bool:
    """Ask for slices of this length. Whoever runs shortly at a time is run soon after it wakes,
    at the same share of the processor. False where the kernel knows nothing of it (before 6.12).
    """
    number = _NUMBERS.get(platform.machine())
    if number is None:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attr = _ATTR.pack(_ATTR.size, _NORMAL, 0, nice, 0, int(slice_s * 1e9), 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.syscall(number, 0, attr, 0)) == 0
