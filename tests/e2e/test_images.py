"""Images from files: loaded once, run on every node; what is nowhere to be had says so."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from machine import Machine, eventually

pytestmark = pytest.mark.e2e

STATIC = Path("/sbin/ldconfig")
POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  nodeName: NODE
  restartPolicy: Never
  containers:
  - {name: c, image: "IMAGE"}
"""


def added(tar: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    tar.addfile(info, io.BytesIO(data))


def docker_archive(path: Path) -> None:
    """An image of one static program, as `docker save` writes it."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        added(tar, "bin/say", STATIC.read_bytes(), 0o755)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": ["/bin/say"], "Cmd": ["--version"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }  # fmt: skip
    row = {"Config": "c.json", "RepoTags": ["example.org/say:1"], "Layers": ["l/layer.tar"]}
    with tarfile.open(path, "w") as tar:
        added(tar, "c.json", json.dumps(config).encode())
        added(tar, "manifest.json", json.dumps([row]).encode())
        added(tar, "l/layer.tar", layer.getvalue())


def pod(name: str, image: str, node: str) -> str:
    return POD.replace("NAME", name).replace("NODE", node).replace("IMAGE", image)


def test_a_loaded_image_runs_on_every_node(cluster: Machine) -> None:
    archive = cluster.home / "say.tar"
    docker_archive(archive)
    cluster.run("sampan", "image", "load", "--name", cluster.name, str(archive))
    assert (
        "example.org/say:1" in cluster.run("sampan", "image", "ls", "--name", cluster.name).stdout
    )
    for node in ("node1", "node2"):
        name = f"says-{node}"
        cluster.sampan("apply", "-f", "-", stdin=pod(name, "example.org/say:1", node))
        ended = ("get", "pod", name)
        assert eventually(lambda ended=ended: "Completed" in cluster.sampan(*ended).stdout)
        said = cluster.run("sampan", "logs", name, "--name", cluster.name).stdout
        assert said.startswith("ldconfig")


def test_an_image_that_is_nowhere_is_told_as_upstream_does(cluster: Machine) -> None:
    cluster.sampan("apply", "-f", "-", stdin=pod("lacks", "example.org/none:1", "node1"))

    def state() -> str:
        return cluster.sampan("get", "pod", "lacks").stdout

    assert eventually(lambda: "ErrImagePull" in state() or "ImagePullBackOff" in state())
    assert eventually(lambda: "ImagePullBackOff" in state(), within_s=20)
