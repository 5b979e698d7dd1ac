"""What every part that runs alone does in the same way: flags of Go's kind, a way to the API
server, and work until a signal.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sampan.client.kubeconfig import Connection

Run = Callable[[Callable[[], None]], Coroutine[Any, Any, None]]


def add_boolean(made: argparse.ArgumentParser, name: str, *, default: bool, text: str) -> None:
    """`--flag`, `--flag=true`, `--flag=false`."""
    made.add_argument(name, nargs="?", const=True, default=default, type=_boolean, help=text)


def _boolean(word: str) -> bool:
    return word.lower() in ("true", "1", "t")


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
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return 0
