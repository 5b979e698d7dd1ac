"""A container as the launcher holds it while it runs, and how its end is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from sampan.linux.base.processes import LOST_EXIT_CODE, Container, Exit
from sampan.linux.real.attachments import Attachment
from sampan.linux.real.logpump import Pump

UNKNOWN = -1
"""A wait status that nobody has."""


@dataclass(slots=True, eq=False)
class Live:
    """A container that runs, or whose end is not told yet."""

    spec: Container
    pump: Pump
    pid: int = 0
    pidfd: int = -1
    stdin: int = -1
    """stdinOnce: the input's only writer besides those attached."""
    holder: int = 0
    """Pid of its terminal's holder."""
    refusal: str = ""
    """Why the command could not be started."""
    status: int | None = None
    """What wait said; kept while the terminal is still being emptied."""
    attached: dict[Attachment, Callable[[], None]] = field(default_factory=dict)
    """With what to do when it is over."""


def exit_of(live: Live, now: float, oom: bool) -> Exit:
    if live.status is None or live.status == UNKNOWN:
        return Exit(LOST_EXIT_CODE, now, known=False)
    code = os.waitstatus_to_exitcode(live.status)
    if code < 0:
        return Exit(128 - code, now, signal=-code, oom_killed=oom)
    return Exit(code, now, oom_killed=oom, message=live.refusal)
