"""`up`, step by step: check the machine, start the supervisor, wait until everything answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sampan.client import kubeconfig
from sampan.cluster import network, processes, supervisor
from sampan.cluster.config import ClusterConfig
from sampan.cluster.machine import check_machine
from sampan.cluster.paths import Paths
from sampan.cluster.readiness import Checks, until

Report = Callable[[str, float], None]
"""(what was done, seconds it took)."""


class Busy(Exception):
    """The name or something that it needs is taken; one line says by whom and what to do."""


@dataclass(frozen=True, slots=True)
class Milestone:
    """A moment of the time-to-k8s kind: seconds since the command began."""

    name: str
    at_s: float


AGENTS_S = 30.0
"""An agent that died often of late waits a few seconds before it is started again."""


def is_running(paths: Paths) -> bool:
    return any(p.component == supervisor.SUPERVISOR for p in processes.living(paths.processes))


def settle_config(asked: ClusterConfig, given: set[str], paths: Paths) -> ClusterConfig:
    """What the cluster is made of: as it was made, with what may change later. Raises Busy."""
    if not paths.config.exists():
        return asked
    made = ClusterConfig.load(paths.config)
    for field in sorted(given - {"name", "proxy_mode", "egress"}):
        if getattr(asked, field) != getattr(made, field):
            flag = "--" + field.replace("_", "-")
            raise Busy(
                f"cluster {made.name!r} was made with {flag} {getattr(made, field)}; "
                f"'sampan delete --name {made.name}' first, or leave {flag} out"
            )
    changes = {f: getattr(asked, f) for f in given & {"proxy_mode", "egress"}}
    if "egress" in changes and changes["egress"] != made.egress and is_running(paths):
        raise Busy(
            f"cluster {made.name!r} is running with other settings; 'sampan down' first: its "
            "objects are kept"
        )
    return ClusterConfig(**{**_fields(made), **changes})


def _fields(config: ClusterConfig) -> dict[str, object]:
    return {name: getattr(config, name) for name in config.__slots__}


@contextlib.contextmanager
def step(report: Report, text: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    report(text, time.monotonic() - begun)


def up(
    asked: ClusterConfig, given: set[str], *, wait_s: float, report: Report
) -> tuple[ClusterConfig, list[Milestone]]:
    """Bring the cluster up and see it work. Raises Busy, RangeBusy, MachineLacks, TimeoutError."""
    begun = time.monotonic()
    paths = Paths.of(asked.name)
    config = settle_config(asked, given, paths)
    try:
        with network.lock(_lock_file(paths)):
            if not is_running(paths):
                with step(report, "This machine has what a cluster needs"):
                    check_machine(config)
                    network.check_ranges(config)
                _start(config, paths)
            elif config.proxy_mode != ClusterConfig.load(paths.config).proxy_mode:
                with step(report, f"Proxies change to {config.proxy_mode} mode"):
                    check_machine(config)
                    _restart_agents(config, paths)
            return config, asyncio.run(_wait(config, paths, begun, begun + wait_s, report))
    except network.Locked:
        raise Busy(f"another 'sampan up' of {config.name!r} is at work; wait for it") from None


def _lock_file(paths: Paths) -> Path:
    paths.make()
    return paths.state / "up.lock"


def _start(config: ClusterConfig, paths: Paths) -> None:
    """Fork the supervisor into a session of its own."""
    config.save(paths.config)
    with contextlib.suppress(FileNotFoundError):
        (paths.run / supervisor.STOPPING).unlink()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    code = 1
    try:
        supervisor.redirect(paths.log(supervisor.SUPERVISOR))
        from sampan.cluster import allinone

        code = allinone.supervise(config, paths)
    except BaseException:  # noqa: BLE001 - the last stop before the process ends: tell the log
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _restart_agents(config: ClusterConfig, paths: Paths) -> None:
    """The supervisor starts them again, with the configuration that is saved now; pods go on."""
    config.save(paths.config)
    ending = []
    for process in processes.living(paths.processes):
        if process.component == "agent":
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
            ending.append(process)
    limit = time.monotonic() + AGENTS_S
    while any(processes.is_alive(process) for process in ending) or _agents(paths) != set(
        config.node_names
    ):
        if time.monotonic() > limit:
            raise TimeoutError(f"agents do not come back; see {paths.log(supervisor.SUPERVISOR)}")
        time.sleep(0.01)


def _agents(paths: Paths) -> set[str]:
    """The nodes whose agent runs."""
    return {one.node for one in processes.living(paths.processes) if one.component == "agent"}


async def _wait(
    config: ClusterConfig, paths: Paths, begun: float, deadline: float, report: Report
) -> list[Milestone]:
    loop = asyncio.get_running_loop()
    limit = loop.time() + (deadline - time.monotonic())
    while not paths.kubeconfig.exists():
        if loop.time() > limit:
            raise TimeoutError(f"no certificates yet; see {paths.log(supervisor.SUPERVISOR)}")
        await asyncio.sleep(0.005)
    client = kubeconfig.load(paths.kubeconfig).client("sampan-up")
    checks = Checks(config, paths, client)
    steps = (
        ("The API server answers", checks.api),
        (f"{config.nodes} node{'s are' if config.nodes > 1 else ' is'} Ready", checks.nodes),
        ("Services are programmed", checks.services),
        ("The cluster DNS answers", checks.dns),
    )
    milestones = []
    try:
        for text, check in steps:
            with step(report, text):
                await until(check, limit)
            milestones.append(Milestone(text, time.monotonic() - begun))
    finally:
        await client.close()
    return milestones
