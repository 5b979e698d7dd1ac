"""A node's launcher for a kubelet that runs alone: started before anything large is imported."""

from __future__ import annotations

from sampan.linux.real import launcher


def start(run_dir: str, cgroup: str, state_dir: str) -> None:
    """Leave one running, whoever started it. Raises OSError."""
    if not launcher.serving(run_dir):
        launcher.spawn(run_dir, cgroup=cgroup, state_dir=state_dir)


def clean_up(run_dir: str) -> None:
    """End every pod of the node and remove what the runtime keeps of it."""
    launcher.cleanup(run_dir)
