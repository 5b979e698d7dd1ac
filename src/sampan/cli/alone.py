"""What every part that runs alone does in the same way: flags, a way to the API server, work until
a signal, and one line where it cannot go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from sampan.cli.flagset import BadFlag, FlagSet, Given, no_effect

if TYPE_CHECKING:
    from sampan.client.kubeconfig import Connection

Run = Callable[[Callable[[], None]], Coroutine[Any, Any, None]]
PATIENCE_S = 0.9
"""Who is told to end and has not by then is ended; upstream's unit files and people expect it."""


def begin(flags: FlagSet, argv: list[str]) -> Given | int:
    """The flags' values, with the log set up; or the exit status when there is nothing to run."""
    from sampan import __version__
    from sampan.std import log

    try:
        given = flags.parse(argv)
    except BadFlag as error:
        return failed(flags.program, f"{error}; see '{flags.program} --help'")
    if given["help"]:
        print(flags.help(), end="")
        return 0
    if given["version"]:
        print(f"sampan {__version__}, for Kubernetes v1.36")
        return 0
    log.setup("debug" if given["v"] >= 4 else "info")
    if in_vain := no_effect(given):
        print(f"{flags.program}: {in_vain}", file=sys.stderr)
    return given


def failed(program: str, why: object) -> int:
    """One line on standard error; the exit status is upstream's for whatever it is."""
    text = " ".join(str(why).split())
    print(f"{program}: {text}", file=sys.stderr)
    return 1


def first_of(group: BaseException) -> BaseException:
    """What went wrong first, out of groups within groups."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


def connection(path: str, server: str = "") -> Connection:
    """By kubeconfig, else as a pod does; `server` wins over both. Raises BadKubeconfig."""
    from dataclasses import replace

    from sampan.client import kubeconfig

    if path:
        found = kubeconfig.load(path)
    elif server:
        found = kubeconfig.Connection(server)
    else:
        found = kubeconfig.in_cluster()
    return replace(found, server=server) if server else found


async def until_signal(run: Run) -> int:
    """Run a component until SIGTERM or SIGINT; the exit status."""
    task = asyncio.ensure_future(run(lambda: None))
    loop = asyncio.get_running_loop()

    def end() -> None:
        hurry()
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return 0


def serve(program: str, run: Run, expected: tuple[type[Exception], ...]) -> int:
    """Run a component; what is expected to keep it from its work is one line and 1."""
    try:
        return asyncio.run(until_signal(run))
    except* expected as group:
        problem = first_of(group)
    return failed(program, problem)


def hurry() -> None:
    """End this process soon, whatever still waits: a name that is looked up in a thread, a lease
    that a dead server does not take back.
    """
    last = threading.Timer(PATIENCE_S, os._exit, (0,))
    last.daemon = True
    last.start()
