"""A node's launcher for a kubelet that runs alone: started before anything large is imported."""

from __future__ import annotations

import os

from sampan.linux.real import launcher


def start(run_dir: str, cgroup: str, state_dir: str) -> bool:
    """Leave one running; whether it is a new one. Raises OSError."""
    pid = launcher.serving(run_dir)
    if not pid:
        launcher.spawn(run_dir, cgroup=cgroup, state_dir=state_dir)
    elif os.readlink(f"/proc/{pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt"):
        text = f"the launcher of {run_dir} (pid {pid}) sees other mounts than this process: "
        raise OSError(f"{text}start both in one mount namespace, or end it with --cleanup")
    return not pid


def clean_up(run_dir: str) -> None:
    """End every pod of the node and remove what the runtime keeps of it."""
    launcher.cleanup(run_dir)
