"""The launcher's sandboxes: made by a short-lived child, removed when their cgroup is empty."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from sampan.linux.base.processes import Limits, Sandbox
from sampan.linux.real import child
from sampan.linux.real import syscalls as sc
from sampan.linux.real.births import Birth, Outcome, Refused, give_birth
from sampan.linux.real.cgroups import KernelCgroups
from sampan.linux.real.records import (
    Records,
    process_start,
    read_json,
    remove_tree,
    write_json,
)

REMOVE_PATIENCE_S = 10.0


@dataclass(slots=True, eq=False)
class Burial:
    """A sandbox on its way out, until the kernel has let go of its processes."""

    sandbox: str
    done: Callable[[str], None]
    """Called with an error, or empty."""
    deadline: float


class LiveSandboxes:
    """Everything about sandboxes that happens in the launcher."""

    def __init__(self, records: Records, cgroups: KernelCgroups) -> None:
        self.records = records
        self.cgroups = cgroups
        self.burials: list[Burial] = []

    def begin(self, name: str, answer: Callable[[Outcome], None]) -> Birth | None:
        """Make it; None when it is there already."""
        spec = self.records.sandbox(name)
        if spec is None:
            raise Refused(f"sandbox {name} has no spec")
        state = self.records.sandbox_state(name)
        if state is not None and state.ready:
            return None
        self._take_away_pins(name)
        self.cgroups.ensure(spec.cgroup, spec.limits)
        flags = 0 if spec.host_network else sc.CLONE_NEWNET
        flags |= 0 if spec.host_ipc else sc.CLONE_NEWIPC
        group = -1
        if spec.shared_pid:
            flags |= sc.CLONE_NEWPID
            self.cgroups.ensure(f"{spec.cgroup}/sandbox", Limits())
            group = self.cgroups.open_unified(f"{spec.cgroup}/sandbox")
        folder = self.records.sandbox_dir(name)
        birth = give_birth(
            functools.partial(child.sandbox, spec, folder),
            lambda outcome: self._made(spec, birth.pid, outcome, answer),
            flags=flags,
            cgroup_fd=group,
        )
        return birth

    def _made(
        self, spec: Sandbox, pid: int, outcome: Outcome, answer: Callable[[Outcome], None]
    ) -> None:
        if not outcome.error:
            state = {"pid": pid, "born": process_start(pid), "created": time.time()}
            write_json(f"{self.records.sandbox_dir(spec.id)}/state.json", state)
        answer(outcome)

    def pid_namespace(self, spec: Sandbox) -> str:
        """Where the shared PID namespace is; empty when each container has its own."""
        if not spec.shared_pid:
            return ""
        state = read_json(f"{self.records.sandbox_dir(spec.id)}/state.json") or {}
        return f"/proc/{state.get('pid', 0)}/ns/pid"

    def place(self, spec: Sandbox) -> child.Place:
        """What its containers need to know; the folder is filled in by them."""
        folder = self.records.sandbox_dir(spec.id)
        return child.Place(
            folder="",
            base=f"{self.records.run_dir}/root",
            sandbox=spec,
            network=spec.host_network or f"{folder}/net",
            ipc="" if spec.host_ipc else f"{folder}/ipc",
            shm="/dev/shm" if spec.host_ipc else f"{folder}/shm",
        )

    def dial(self, name: str, family: int) -> socket.socket:
        """A socket made inside its network namespace."""
        spec = self.records.sandbox(name)
        if spec is None:
            raise Refused(f"there is no sandbox {name}")
        home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        away = os.open(self.place(spec).network, os.O_RDONLY | os.O_CLOEXEC)
        try:
            sc.setns(away, sc.CLONE_NEWNET)
            return socket.socket(family, socket.SOCK_STREAM)
        finally:
            sc.setns(home, sc.CLONE_NEWNET)
            os.close(home)
            os.close(away)

    def bury(self, name: str, done: Callable[[str], None]) -> None:
        """Kill what is left and remove; `done` is called from here or from `dig`."""
        spec = self.records.sandbox(name)
        if spec is None:
            done("")
            return
        self.cgroups.kill(spec.cgroup)
        self.burials.append(Burial(name, done, time.monotonic() + REMOVE_PATIENCE_S))
        self.dig()

    def dig(self) -> None:
        """Try the removals that wait."""
        waiting, self.burials = self.burials, []
        for burial in waiting:
            spec = self.records.sandbox(burial.sandbox)
            try:
                if spec is not None:
                    self.cgroups.remove(spec.cgroup)
            except OSError as error:
                if time.monotonic() > burial.deadline:
                    burial.done(f"cgroup of sandbox {burial.sandbox}: {error.strerror}")
                else:
                    self.burials.append(burial)
                continue
            self._take_away_pins(burial.sandbox)
            remove_tree(self.records.sandbox_dir(burial.sandbox))
            burial.done("")

    def _take_away_pins(self, name: str) -> None:
        folder = self.records.sandbox_dir(name)
        for pin in ("net", "ipc", "shm"):
            with contextlib.suppress(OSError):
                sc.umount(f"{folder}/{pin}")
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(f"{folder}/shm") if pin == "shm" else os.unlink(f"{folder}/{pin}")
