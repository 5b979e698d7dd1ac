"""Where a cluster's files lie: state that must survive a reboot, and run-time facts that must not.

`SAMPAN_ROOT` moves both. Both folders are 0700: keys and tokens lie there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Whole or not at all: others read it meanwhile, and a full disk or a kill may come."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(path)


@dataclass(frozen=True, slots=True)
class Paths:
    """The places of one cluster."""

    state: Path
    run: Path

    @classmethod
    def of(cls, name: str) -> Paths:
        root = os.environ.get("SAMPAN_ROOT")
        if root:
            return cls(Path(root) / "state" / name, Path(root) / "run" / name)
        return cls(Path("/var/lib/sampan") / name, Path("/run/sampan") / name)

    def make(self) -> None:
        """Make the folders, and take them from everybody else."""
        for folder in (self.state, self.run, self.logs, self.pki, self.run / "netns"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.chmod(self.state, 0o700)
        os.chmod(self.run, 0o700)

    @property
    def config(self) -> Path:
        return self.state / "cluster.json"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def store(self) -> Path:
        return self.state / "store.db"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, complete in itself; what `up` merges into the user's file."""
        return self.state / "admin.conf"

    @property
    def processes(self) -> Path:
        return self.run / "processes"

    @property
    def fabric(self) -> str:
        """The namespace that holds only the underlay bridge."""
        return str(self.run / "netns" / "fabric")

    def netns(self, node: str) -> str:
        return str(self.run / "netns" / node)

    def node_state(self, node: str) -> Path:
        return self.state / "nodes" / node

    def node_run(self, node: str) -> Path:
        return self.run / "nodes" / node

    def log(self, component: str, node: str = "") -> Path:
        return self.logs / (f"{component}-{node}.log" if node else f"{component}.log")
