"""Static pods: read from files and a URL, run without the API, mirrored at it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sampan.api import kinds
from sampan.kubelet.sources import mirror_of, static_pods
from tests.kubelet.bench import Bench, until
from tests.kubelet.test_pod_life import play

MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {name: st, labels: {a: b}}
spec:
  containers: [{name: c, image: localhost/host, command: [serve]}]
"""


def write(folder: Path, text: str, name: str = "a.yaml") -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    # Two writes within one tick of the file system's clock still differ.
    os.utime(path, (os.stat(path).st_mtime + len(text), os.stat(path).st_mtime + len(text)))


def test_a_manifest_becomes_a_pod_of_this_node() -> None:
    (pod,) = static_pods(MANIFEST.encode(), "file", "/x/a.yaml", "n1")
    meta = pod["metadata"]
    assert (meta["name"], meta["namespace"]) == ("st-n1", "default")
    assert meta["annotations"]["kubernetes.io/config.source"] == "file"
    assert meta["annotations"]["kubernetes.io/config.hash"] == meta["uid"]
    assert pod["spec"]["nodeName"] == "n1"
    assert pod["spec"]["restartPolicy"] == "Always"
    assert {"operator": "Exists", "effect": "NoExecute"} in pod["spec"]["tolerations"]
    (other,) = static_pods(MANIFEST.replace("serve", "sleep").encode(), "file", "/x/a.yaml", "n1")
    assert other["metadata"]["uid"] != meta["uid"]
    mirror = mirror_of(pod, "node-uid")
    assert mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] == meta["uid"]
    assert "uid" not in mirror["metadata"]
    assert mirror["metadata"]["ownerReferences"][0]["uid"] == "node-uid"


@pytest.mark.parametrize("text", ["a: [", "kind: Service", "kind: Pod\nmetadata: {name: x}\n"])
def test_what_is_no_pod_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"YAML|no Pod|needs"):
        static_pods(text.encode(), "file", "/x", "n1")


def test_static_pods_follow_their_files(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    write(folder, MANIFEST)
    write(folder, "not a pod", "b.yaml")

    async def story(bench: Bench) -> None:
        await until(lambda: bench.condition("Ready", "st-n1") == "True")
        first = bench.running_id()
        assert bench.get("st-n1")["metadata"]["annotations"]["kubernetes.io/config.mirror"]
        write(folder, MANIFEST + "  terminationGracePeriodSeconds: 5\n")
        await until(lambda: bench.running_id() != first)
        await until(lambda: bench.condition("Ready", "st-n1") == "True")
        (folder / "a.yaml").unlink()
        await until(lambda: not bench.exists("st-n1"))
        await until(lambda: not bench.runtime.containers)

    play(tmp_path, story, pod_manifest_path=str(folder))


def test_a_deleted_mirror_comes_back_and_the_pod_never_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    write(folder, MANIFEST)

    async def story(bench: Bench) -> None:
        await until(lambda: bench.condition("Ready", "st-n1") == "True")
        container, mirror = bench.running_id(), bench.get("st-n1")["metadata"]["uid"]
        bench.api.drop(kinds.PODS, "st-n1", "default")
        await until(lambda: bench.get("st-n1")["metadata"]["uid"] != mirror)
        await until(lambda: bench.condition("Ready", "st-n1") == "True")
        assert bench.running_id() == container

    play(tmp_path, story, pod_manifest_path=str(folder))


def test_a_restarted_kubelet_keeps_static_pods(tmp_path: Path) -> None:
    import asyncio

    from sampan.testing.clock import run_jumping

    folder = tmp_path / "manifests"
    write(folder, MANIFEST)

    async def main() -> None:
        bench = Bench(tmp_path, pod_manifest_path=str(folder))
        async with bench.running():
            await until(lambda: bench.condition("Ready", "st-n1") == "True")
        before = dict(bench.runtime.containers)
        bench.kubelet = bench.make()
        async with bench.running():
            await asyncio.sleep(60)
        assert bench.runtime.containers == before

    run_jumping(main())


def test_pods_from_a_url(tmp_path: Path) -> None:
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return MANIFEST.encode()

    async def story(bench: Any) -> None:
        await until(lambda: bench.condition("Ready", "st-n1") == "True")
        assert asked[0] == "http://x/pods"

    play(tmp_path, story, manifest_url="http://x/pods", fetch=fetch)
