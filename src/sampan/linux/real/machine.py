"""The machine as /proc and /sys describe it."""

from __future__ import annotations

import os
import platform

from sampan.linux.base.machine import MachineFacts, MachineUsage

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class RealMachine:
    """This one."""

    def facts(self, directory: str) -> MachineFacts:
        memory = _table("/proc/meminfo")
        disk = os.statvfs(directory)
        machine = platform.machine()
        return MachineFacts(
            cpus=len(os.sched_getaffinity(0)),
            memory=memory.get("MemTotal", 0),
            disk=disk.f_blocks * disk.f_frsize,
            architecture=ARCHITECTURES.get(machine, machine),
            kernel=os.uname().release,
            os_image=_os_image(),
            machine_id=_read("/etc/machine-id") or _read("/var/lib/dbus/machine-id"),
            system_uuid=_read("/sys/class/dmi/id/product_uuid"),
            boot_id=_read("/proc/sys/kernel/random/boot_id"),
            swap=memory.get("SwapTotal", 0),
            max_pids=int(_read("/proc/sys/kernel/pid_max") or 32768),
        )

    def usage(self, directory: str) -> MachineUsage:
        memory = _table("/proc/meminfo")
        disk = os.statvfs(directory)
        available = memory.get("MemAvailable", 0)
        ticks = os.sysconf("SC_CLK_TCK")
        columns = [int(word) for word in _read("/proc/stat").split("\n", 1)[0].split()[1:]]
        busy = sum(columns[:3]) + sum(columns[5:8])
        loads = _read("/proc/loadavg").split()
        return MachineUsage(
            cpu_ns=busy * 1_000_000_000 // ticks,
            memory_available=available,
            memory_working_set=memory.get("MemTotal", 0) - available,
            disk_used=(disk.f_blocks - disk.f_bfree) * disk.f_frsize,
            disk_available=disk.f_bavail * disk.f_frsize,
            processes=int(loads[3].split("/")[1]) if len(loads) > 3 else 0,
        )


def _os_image() -> str:
    for line in _read("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "Linux"


def _table(path: str) -> dict[str, int]:
    """`MemTotal:  123 kB` rows as bytes."""
    found = {}
    for line in _read(path).splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words:
            found[name] = int(words[0]) * (1024 if words[-1] == "kB" else 1)
    return found


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""
