"""Two processes that look after each other: one works, the other cleans up when the first ends in
a way that leaves it no time to, by kill -9 or for want of memory.

    guard (small, waits) ── worker        worker killed: the guard cleans up, and ends
                                          guard killed: the worker is asked to end, and does
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from sampan.linux.real import syscalls

PASSED_ON = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip


def guarded(work: Callable[[], int], clean_up: Callable[[], None]) -> int:
    """Run `work` in a child; its exit code. `clean_up` is called here unless that is 0."""
    guard = os.getpid()
    worker = os.fork()
    if worker == 0:
        _work(work, guard)
    for number in PASSED_ON:
        signal.signal(number, lambda number, frame: _pass_on(worker, number, frame))
    _, status = os.waitpid(worker, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        clean_up()
    return code if code >= 0 else 128 - code


def _pass_on(worker: int, number: int, frame: FrameType | None) -> None:
    os.kill(worker, number)


def _work(work: Callable[[], int], guard: int) -> None:
    """The child's life; it never returns."""
    code = 1
    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == guard:  # else it was gone before we could ask to be told
            code = work()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)
