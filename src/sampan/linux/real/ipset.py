"""ipset by its own program."""

from __future__ import annotations

import shutil
import subprocess

from sampan.linux.base.ipset import IpsetError


class RealIpsets:
    """Implements `Ipsets` for the network namespace of the calling thread."""

    def save(self) -> str:
        return self._run("save")

    def restore(self, script: str) -> None:
        if script:
            self._run("restore", script)

    def _run(self, command: str, script: str = "") -> str:
        if not shutil.which("ipset"):
            raise IpsetError("ipset is missing; install the package ipset")
        done = subprocess.run(
            ["ipset", command, "-exist"],
            input=script,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise IpsetError(f"ipset {command}: {' '.join(done.stderr.split())}")
        return done.stdout
