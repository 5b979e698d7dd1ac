"""A machine for one test run: network, mount and PID namespaces that stand for the host.

    pytest ── setpriv --pdeathsig ── unshare ── init (reaps) ── everything that a test starts

When the test ends, however it ends, init is killed and with it every process, every namespace and
every mount made inside; only empty cgroups can stay, and `sweep` takes those away.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

INIT = """
import os, signal, subprocess
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
for command in {setup!r}:
    subprocess.run(command, shell=True, check=True)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.write(1, b"ready")
os.close(1)
while True:
    signal.pause()
"""
BIN = Path(sys.executable).parent


class Machine:
    """Made by `start`; commands run inside."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.root = folder / "root"
        self.kubectl_program = os.environ.get("KUBECTL") or shutil.which("kubectl") or ""
        self.outer: subprocess.Popen[bytes] | None = None
        self.init = 0

    def start(self) -> None:
        resolv = self.folder / "resolv.conf"
        resolv.write_text("nameserver 127.0.0.1\n")
        setup = [
            "ip link set lo up",
            "mkdir -p /run/netns && mount -t tmpfs none /run/netns",
            f"mount --bind {resolv} /etc/resolv.conf",
        ]
        self.outer = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork",
             "--kill-child", "--mount-proc", "--propagation", "private",
             sys.executable, "-c", INIT.format(setup=setup)],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.outer.stdout
        assert self.outer.stdout.read(5) == b"ready"
        children = Path(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children")
        self.init = int(children.read_text().split()[0])

    def stop(self) -> None:
        if self.outer is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.init, 9)
            self.outer.wait(30)
            assert self.outer.stdout
            self.outer.stdout.close()
        sweep(self.name)

    def reboot(self) -> None:
        """Power off without a word, and on again: disks stay, everything else is gone."""
        self.stop()
        shutil.rmtree(self.root / "run", ignore_errors=True)
        self.start()

    def environment(self) -> dict[str, str]:
        return {
            **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
            "HOME": str(self.home), "SAMPAN_ROOT": str(self.root), "LANG": "C.UTF-8",
            "PATH": f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        }  # fmt: skip

    def run(
        self, *command: str, check: bool = True, stdin: str | None = None, timeout_s: float = 90
    ) -> subprocess.CompletedProcess[str]:
        """Run inside, as the host's root. What a failure printed is in the assertion."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.init), "--net", "--mount", "--pid", *command],
            env=self.environment(), cwd=self.home, input=stdin, capture_output=True, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip
        if check:
            shown = f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
            assert done.returncode == 0, shown
        return done

    def sampan(self, *words: str, **how: Any) -> subprocess.CompletedProcess[str]:
        named = [*words, "--name", self.name] if words[0] in NAMED else list(words)
        return self.run(str(BIN / "sampan"), *named, **how)

    def kubectl(self, *words: str, **how: Any) -> subprocess.CompletedProcess[str]:
        return self.run(self.kubectl_program, *words, **how)

    def out(self, *words: str, **how: Any) -> str:
        """What kubectl printed."""
        return self.kubectl(*words, **how).stdout.strip()

    def json(self, *words: str) -> Any:
        return json.loads(self.kubectl(*words, "-o", "json").stdout)

    def processes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.sampan("status", "-o", "json").stdout)[
            "processes"
        ]
        return found


NAMED = ("up", "down", "status", "logs")


def eventually(look: Callable[[], Any], *, within_s: float = 15, every_s: float = 0.05) -> Any:
    """What `look` returns once it is true and raises nothing; its last failure otherwise."""
    until = time.monotonic() + within_s
    while True:
        try:
            if found := look():
                return found
            missing: Exception = AssertionError(f"still {found!r}")
        except (AssertionError, LookupError, ValueError) as error:
            missing = error
        if time.monotonic() > until:
            raise missing
        time.sleep(every_s)


def cgroups(name: str) -> list[Path]:
    root = Path("/sys/fs/cgroup")
    tops = [root, *(path for path in root.iterdir() if path.is_dir())]
    return [path for top in tops if (path := top / "sampan" / name).is_dir()]


def sweep(name: str) -> None:
    """Remove the cgroups that a killed cluster of this name left."""
    for top in cgroups(name):
        folders = sorted((p for p in top.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts))
        for folder in [*folders, top]:
            with contextlib.suppress(OSError):
                folder.rmdir()
