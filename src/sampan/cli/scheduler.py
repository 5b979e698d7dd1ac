"""`sampan scheduler`: the scheduler alone, against any API server, with upstream's flags."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sampan.client.kubeconfig import Connection
    from sampan.cluster.parts.scheduler import Alone, Flags


def parser() -> argparse.ArgumentParser:
    """Every flag with its default; booleans take `--flag` and `--flag=false`, as Go's do."""
    made = argparse.ArgumentParser(
        prog="sampan scheduler",
        description="Place the pods of a cluster, against its API server.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = made.add_argument
    add("--kubeconfig", default="", help="how to reach the API server; without it, as a pod does")
    add("--master", default="", help="address of the API server, over the kubeconfig's")
    add("--config", default="", help="file with a KubeSchedulerConfiguration: profiles, plugins")
    add(
        "--leader-elect",
        nargs="?",
        const=True,
        default=True,
        type=lambda word: word == "true",
        help="work only while holding the lease",
    )
    add("--leader-elect-resource-name", default="kube-scheduler", help="name of the lease")
    add("--leader-elect-resource-namespace", default="kube-system", help="namespace of the lease")
    add("--leader-elect-lease-duration", default="15s", help="how long a silent holder keeps it")
    add("--leader-elect-renew-deadline", default="10s", help="when a holder gives up renewing")
    add("--leader-elect-retry-period", default="2s", help="how often it is tried")
    add("--bind-address", default="0.0.0.0", help="where the health page listens")
    add("--secure-port", type=int, default=10259, help="of /healthz and /metrics; 0: none")
    add("--http-port", type=int, default=0, help="the same without TLS; 0: none")
    add("-v", "--v", type=int, default=0, help="4 and more: debug logs")
    return made


def run(argv: list[str]) -> int:
    """The exit status: 0 after a signal, 1 when it cannot run, 2 for bad usage."""
    options = parser().parse_args(argv)
    from sampan.client.kubeconfig import BadKubeconfig
    from sampan.client.transport import Unreachable
    from sampan.cluster.parts.scheduler import Alone, BadPort
    from sampan.loop.leader import LostLease
    from sampan.scheduler.config import BadConfig
    from sampan.std import log

    log.setup("debug" if options.v >= 4 else "info")
    try:
        flags = _flags(options)
        connection = _connection(options)
    except (BadConfig, BadKubeconfig, ValueError) as error:
        return _fail(error, 2)
    try:
        return asyncio.run(_until_signal(Alone(connection.client("sampan-scheduler"), flags)))
    except (BadPort, LostLease, Unreachable, OSError) as error:
        return _fail(error, 1)


def _flags(options: argparse.Namespace) -> Flags:
    from sampan.cluster.parts.scheduler import Flags
    from sampan.scheduler.config import profiles, seconds

    return Flags(
        profiles(options.config),
        options.leader_elect,
        options.leader_elect_resource_name,
        options.leader_elect_resource_namespace,
        int(seconds(options.leader_elect_lease_duration)),
        seconds(options.leader_elect_renew_deadline),
        seconds(options.leader_elect_retry_period),
        options.bind_address,
        options.http_port,
        options.secure_port,
    )


def _connection(options: argparse.Namespace) -> Connection:
    from dataclasses import replace

    from sampan.client import kubeconfig

    path = options.kubeconfig
    found = kubeconfig.load(path) if path else kubeconfig.in_cluster()
    return replace(found, server=options.master) if options.master else found


async def _until_signal(part: Alone) -> int:
    task = asyncio.ensure_future(part.run(lambda: None))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return 0


def _fail(why: object, code: int) -> int:
    print(f"sampan scheduler: {why}", file=sys.stderr)
    return code
