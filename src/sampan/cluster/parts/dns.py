"""The cluster DNS with the real kernel: flags to a running process."""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import platform
import sys
from dataclasses import dataclass

from sampan import __version__
from sampan.dns.corefile import CorefileError
from sampan.dns.log import StandardOutput
from sampan.dns.server.feeds import Forked, SameLoop
from sampan.dns.server.pages import HttpPages
from sampan.dns.server.process import Options, Process
from sampan.dns.server.siblings import NoPages, Siblings
from sampan.dns.setup import Feeds, Pages, World
from sampan.linux.base.datagrams import OpenDatagrams
from sampan.linux.real.addresses import local_addresses
from sampan.linux.real.datagrams import PlainDatagrams
from sampan.linux.real.datagrams_mmsg import MmsgDatagrams, is_usable
from sampan.linux.real.datagrams_native import NativeDatagrams, library
from sampan.linux.real.slices import shorten
from sampan.std import log

SLICE_S = 0.0002
"""A query takes a tenth of it: nobody who reckons longer should keep it waiting."""
THRESHOLDS = (5_000, 50, 100)


@dataclass(frozen=True, slots=True)
class Flags:
    """CoreDNS' flags, and the two that are our own."""

    conf: str = "Corefile"
    port: str = "53"
    pidfile: str = ""
    quiet: bool = False
    receive: str = "auto"
    """The receive loop: auto, plain, mmsg or native."""
    processes: str = "auto"
    """Whether watching has a process of its own: auto, one or two."""


def run(flags: Flags) -> int:
    """Serve until a signal; the exit code. A bad Corefile is one line on standard error and 1."""
    log.setup()
    shorten(SLICE_S)
    # Collections stop the answers for as long as they take: young objects in small portions, old
    # ones (a whole cluster) next to never.
    gc.set_threshold(*THRESHOLDS)
    options = Options(flags.conf, flags.port, flags.quiet, banner=banner())
    try:
        receive = loop_named(flags.receive)
    except ValueError as bad:
        sys.stderr.write(f"{bad}\n")
        return 1
    siblings = Siblings(lambda: Process(options, _world(flags, NoPages()), receive))
    process = Process(options, _world(flags, HttpPages()), receive, siblings)
    try:
        if flags.pidfile:
            _write_pid(flags.pidfile)
        return asyncio.run(process.serve())
    except (CorefileError, OSError) as bad:
        sys.stderr.write(f"{bad}\n")
        return 1


def _world(flags: Flags, pages: Pages) -> World:
    out = StandardOutput()
    os.register_at_fork(before=out.flush)
    atexit.register(out.flush)
    world = World(out, pages, feeds(flags.processes), environment=os.environ)
    world.version = __version__
    world.addresses = local_addresses
    return world


def banner() -> str:
    return (
        f"\nSampan-{__version__}\n"
        f"{sys.platform}/{platform.machine()}, Python {platform.python_version()}"
    )


LOOPS: dict[str, OpenDatagrams] = {
    "native": NativeDatagrams, "mmsg": MmsgDatagrams, "plain": PlainDatagrams,
}  # fmt: skip


def loop_named(name: str) -> OpenDatagrams:
    """The receive loop of that name; `auto` takes the fastest that this machine has. Raises
    ValueError.
    """
    usable = {"native": library() is not None, "mmsg": is_usable(), "plain": True}
    if name == "auto":
        return next(LOOPS[each] for each in LOOPS if usable[each])
    if name not in LOOPS:
        raise ValueError(f"no receive loop {name!r}: auto, {', '.join(LOOPS)}")
    if not usable[name]:
        how = ": pip install ./native" if name == "native" else ""
        raise ValueError(f"the receive loop {name!r} is not to be had here{how}")
    return LOOPS[name]


def feeds(name: str) -> Feeds:
    """Two processes, unless there is less than one processor to spend."""
    if name == "one" or (name == "auto" and cpu_share() < 1):
        return SameLoop()
    return Forked()


def cpu_share() -> float:
    """How many processors the control group allows; many when it sets no limit."""
    for read in (_share_v2, _share_v1):
        try:
            return read()
        except (OSError, ValueError):
            continue
    return float(os.cpu_count() or 1)


def _share_v2() -> float:
    with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
        quota, period = file.read().split()
    return float(os.cpu_count() or 1) if quota == "max" else int(quota) / int(period)


def _share_v1() -> float:
    with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", encoding="ascii") as file:
        quota = int(file.read())
    with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us", encoding="ascii") as file:
        period = int(file.read())
    return float(os.cpu_count() or 1) if quota <= 0 else quota / period


def _write_pid(path: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
