"""What a node's runtime keeps on disk: enough for a new launcher to go on, or to clean up.

<run>/launcher.json                     pid, cgroup parent, state directory
<run>/sandboxes/<id>/spec.json state.json net ipc shm/
<run>/containers/<id>/spec.json state.json exit.json stdin stdout stderr
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from sampan.linux.base.processes import (
    Container,
    ContainerState,
    Exit,
    Limits,
    Mount,
    Output,
    Rights,
    Root,
    Sandbox,
    SandboxState,
    Snapshot,
    User,
)

Json = dict[str, Any]


class Records:
    """The files below one node's run directory."""

    def __init__(self, run_dir: str) -> None:
        self.run_dir = run_dir

    def sandbox_dir(self, sandbox: str) -> str:
        return f"{self.run_dir}/sandboxes/{sandbox}"

    def container_dir(self, container: str) -> str:
        return f"{self.run_dir}/containers/{container}"

    def prepare(self) -> None:
        """The directories, and the empty one that containers build their root on."""
        for name in ("sandboxes", "containers", "root"):
            os.makedirs(f"{self.run_dir}/{name}", mode=0o700, exist_ok=True)

    def write_sandbox(self, spec: Sandbox) -> None:
        os.makedirs(self.sandbox_dir(spec.id), mode=0o700, exist_ok=True)
        write_json(f"{self.sandbox_dir(spec.id)}/spec.json", asdict(spec))

    def write_container(self, spec: Container) -> None:
        os.makedirs(self.container_dir(spec.id), mode=0o700, exist_ok=True)
        write_json(f"{self.container_dir(spec.id)}/spec.json", asdict(spec))

    def sandbox(self, sandbox: str) -> Sandbox | None:
        data = read_json(f"{self.sandbox_dir(sandbox)}/spec.json")
        return None if data is None else sandbox_from(data)

    def container(self, container: str) -> Container | None:
        data = read_json(f"{self.container_dir(container)}/spec.json")
        return None if data is None else container_from(data)

    def exit(self, container: str) -> Exit | None:
        data = read_json(f"{self.container_dir(container)}/exit.json")
        return None if data is None else Exit(**data)

    def write_exit(self, container: str, how: Exit) -> None:
        write_json(f"{self.container_dir(container)}/exit.json", asdict(how))

    def sandbox_state(self, sandbox: str) -> SandboxState | None:
        """None until it is complete."""
        spec = self.sandbox(sandbox)
        state = read_json(f"{self.sandbox_dir(sandbox)}/state.json")
        if spec is None or state is None:
            return None
        pinned = f"{self.sandbox_dir(sandbox)}/net"
        ready = bool(spec.host_network) or is_pinned(pinned)
        if spec.shared_pid:
            ready = ready and process_start(state["pid"]) == state["born"]
        return SandboxState(spec, spec.host_network or pinned, state["created"], ready)

    def container_state(self, container: str) -> ContainerState | None:
        """None until it has a process."""
        spec = self.container(container)
        state = read_json(f"{self.container_dir(container)}/state.json")
        if spec is None or state is None:
            return None
        warnings = tuple(state.get("warnings", ()))
        how = self.exit(container)
        return ContainerState(spec, state["pid"], state["started"], how, warnings)

    def snapshot(self) -> Snapshot:
        sandboxes = (self.sandbox_state(name) for name in self.names("sandboxes"))
        containers = (self.container_state(name) for name in self.names("containers"))
        return Snapshot(
            tuple(state for state in sandboxes if state is not None),
            tuple(state for state in containers if state is not None),
        )

    def names(self, kind: str) -> Iterator[str]:
        with contextlib.suppress(FileNotFoundError):
            yield from sorted(os.listdir(f"{self.run_dir}/{kind}"))


def sandbox_from(data: Json) -> Sandbox:
    return Sandbox(**{**data, "limits": Limits(**data["limits"])})


def container_from(data: Json) -> Container:
    root, user, rights = data["root"], data["user"], data["rights"]
    typed = {
        "argv": tuple(data["argv"]),
        "env": tuple(data["env"]),
        "user": User(**{**user, "groups": tuple(user["groups"])}),
        "root": Root(**{**root, "layers": tuple(root["layers"]), "hidden": tuple(root["hidden"])}),
        "mounts": tuple(Mount(**mount) for mount in data["mounts"]),
        "rights": Rights(**{**rights, "capabilities": tuple(rights["capabilities"])}),
        "limits": Limits(**data["limits"]),
        "output": Output(**data["output"]),
    }
    return Container(**{**data, **typed})


def process_start(pid: int) -> int:
    """When the process was born, in clock ticks since boot; 0 = it is no more. With the pid this
    names one process for ever.
    """
    try:
        with open(f"/proc/{pid}/stat") as file:
            columns = file.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if columns[0] in ("Z", "X") else int(columns[19])


def is_pinned(path: str) -> bool:
    """Whether a namespace is mounted there."""
    try:
        return os.stat(path).st_dev != os.stat(os.path.dirname(path)).st_dev
    except OSError:
        return False


def write_json(path: str, data: Json) -> None:
    """Whole or not at all, also for a reader in the middle."""
    fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(data).encode())
    finally:
        os.close(fd)
    os.rename(f"{path}.new", path)


def read_json(path: str) -> Json | None:
    try:
        with open(path, "rb") as file:
            data: Json = json.loads(file.read())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return data


def remove_tree(path: str) -> None:
    """What shutil.rmtree does, without the compressors that its module brings along."""
    for folder, folders, files in os.walk(path, topdown=False):
        for name in files:
            with contextlib.suppress(OSError):
                os.unlink(f"{folder}/{name}")
        for name in folders:
            with contextlib.suppress(OSError):
                link = os.path.islink(f"{folder}/{name}")
                (os.unlink if link else os.rmdir)(f"{folder}/{name}")
    with contextlib.suppress(OSError):
        os.rmdir(path)
