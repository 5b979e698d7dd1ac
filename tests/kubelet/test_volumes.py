"""Volumes: what is in them, how they change, where they are."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.kubelet.fieldpaths import PodFacts
from sampan.kubelet.objects import Objects, TokenRequest, VolumeFailure
from sampan.kubelet.offload import in_place
from sampan.kubelet.places import Places
from sampan.kubelet.volumes import atomic
from sampan.kubelet.volumes.manager import Volume, Volumes
from sampan.kubelet.volumes.projection import File, Material, files, references, tokens
from sampan.kubelet.volumes.subpath import inside
from sampan.linux.fake.mounts import FakeMounts
from sampan.std.http import Request, Response
from sampan.testing.api import FakeApi
from sampan.testing.clock import JumpingClock, run_jumping

POD: Json = {"metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"a": "b"}},
             "spec": {"containers": [{"name": "c"}], "serviceAccountName": "sa"}}  # fmt: skip
CM = {"kind": "ConfigMap", "data": {"a": "1", "b": "2"}}
SECRET = {"kind": "Secret", "data": {"k": base64.b64encode(b"v").decode()}}


def payload(volume: Json) -> dict[str, File]:
    table = {("ConfigMap", "cm"): CM, ("Secret", "s"): SECRET}
    material = Material(
        POD, lambda kind, name: table.get((kind, name)), lambda wanted: f"tok-{wanted.audience}"
    )
    return files(volume, material)


def test_a_config_map_shows_all_of_it_or_what_is_chosen() -> None:
    assert payload({"configMap": {"name": "cm"}}) == {
        "a": File(b"1", 0o644), "b": File(b"2", 0o644),
    }  # fmt: skip
    items = [{"key": "b", "path": "x/y", "mode": 0o600}]
    assert payload({"configMap": {"name": "cm", "items": items, "defaultMode": 0o400}}) == {
        "x/y": File(b"2", 0o600)
    }


def test_projected_sources_are_put_together() -> None:
    labels = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
    volume = {"projected": {"defaultMode": 0o440, "sources": [
        {"secret": {"name": "s"}}, {"configMap": {"name": "none", "optional": True}},
        {"downwardAPI": {"items": labels}},
        {"serviceAccountToken": {"path": "token", "audience": "x", "expirationSeconds": 700}},
    ]}}  # fmt: skip
    assert payload(volume) == {
        "k": File(b"v", 0o440), "labels": File(b'a="b"', 0o440), "token": File(b"tok-x", 0o440),
    }  # fmt: skip
    assert references(volume) == [("Secret", "s"), ("ConfigMap", "none")]
    assert tokens(volume) == [TokenRequest("x", 700)]


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        ({"configMap": {"name": "none"}}, 'configmap "none" not found'),
        ({"secret": {"secretName": "s", "items": [{"key": "z", "path": "z"}]}},
         "references non-existent config key: z"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(volume: Json, text: str) -> None:
    with pytest.raises(VolumeFailure, match=text):
        payload(volume)


def test_files_change_all_at_once(tmp_path: Path) -> None:
    target = str(tmp_path / "v")
    first = {"a": File(b"1", 0o644), "d/b": File(b"2", 0o600)}
    assert atomic.write(target, first, 1795203380.5)
    assert (tmp_path / "v/a").read_bytes() == b"1"
    assert (tmp_path / "v/d/b").read_bytes() == b"2"
    assert os.readlink(tmp_path / "v/a") == "..data/a"
    assert (tmp_path / "v/d/b").stat().st_mode & 0o777 == 0o600
    before = os.readlink(tmp_path / "v/..data")
    assert before.startswith("..2026_11_20_19_36_20.")
    assert not atomic.write(target, first, 1795203381.0)
    assert os.readlink(tmp_path / "v/..data") == before
    assert atomic.write(target, {"c": File(b"3", 0o644)}, 1795203382.0)
    assert sorted(os.listdir(tmp_path / "v")) == sorted(
        ["c", "..data", os.readlink(tmp_path / "v/..data")]
    )


def test_a_changed_mode_is_a_change(tmp_path: Path) -> None:
    assert atomic.write(str(tmp_path / "v"), {"a": File(b"1", 0o644)}, 1.0)
    assert atomic.write(str(tmp_path / "v"), {"a": File(b"1", 0o600)}, 2.0)


def test_sub_paths_stay_inside(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    volume.mkdir()
    (volume / "out").symlink_to("/etc")
    assert inside(str(volume), "new/deep") == str(volume / "new/deep")
    assert (volume / "new/deep").is_dir()
    for bad in ("../x", "/etc", "out/passwd"):
        with pytest.raises(VolumeFailure):
            inside(str(volume), bad)


class Bench:
    def __init__(self, folder: Path) -> None:
        self.api = FakeApi()
        self.mounts = FakeMounts()
        objects = Objects(Client(self.api), JumpingClock())
        self.volumes = Volumes(Places(str(folder)), objects, self.mounts, in_place)

    def pod(self, *volumes: Json, **spec: Any) -> Json:
        return {**POD, "spec": {**POD["spec"], "volumes": list(volumes), **spec}}


def text(volume: Volume) -> str:
    return Path(volume.path, "k").read_text()


def test_volumes_are_set_up_refreshed_and_taken_down(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        pod = bench.pod(
            {"name": "cm", "configMap": {"name": "cm"}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "host", "hostPath": {"path": str(tmp_path), "type": "Directory"}},
            securityContext={"fsGroup": os.getgid()},
        )
        with pytest.raises(VolumeFailure, match='SetUp failed for volume "cm"'):
            await bench.volumes.set_up(pod, PodFacts())
        meta = {"name": "cm", "namespace": "ns"}
        bench.api.put(kinds.CONFIGMAPS, {"metadata": meta, "data": {"k": "old"}})
        found = await bench.volumes.set_up(pod, PodFacts())
        assert found["host"] == Volume("host", str(tmp_path))
        assert found["cm"].readonly
        assert text(found["cm"]) == "old"
        assert bench.mounts.table == {found["mem"].path: 1 << 20}
        assert os.stat(found["tmp"].path).st_mode & 0o777 == 0o777
        bench.api.put(kinds.CONFIGMAPS, {"metadata": meta, "data": {"k": "new"}})
        await asyncio.sleep(60)
        await bench.volumes.refresh(pod, PodFacts())
        assert text(found["cm"]) == "new"
        await bench.volumes.take_down("u")
        assert bench.mounts.table == {}
        assert not (tmp_path / "pods" / "u").exists()

    run_jumping(main())


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        ({"hostPath": {"path": "/nosuch/x", "type": "File"}}, "is not a file"),
        ({"nfs": {"server": "x", "path": "/"}}, "volumes of kind nfs are not supported"),
        ({"persistentVolumeClaim": {"claimName": "none"}}, '"none" not found'),
    ],
)
def test_volumes_that_cannot_be_had_say_why(tmp_path: Path, volume: Json, text: str) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        with pytest.raises(VolumeFailure, match=text):
            await bench.volumes.set_up(bench.pod({"name": "v", **volume}), PodFacts())

    run_jumping(main())


class TokenApi(FakeApi):
    """Gives out numbered tokens."""

    async def request(self, request: Request, *, timeout_s: float = 30) -> Response:
        if not request.path.endswith("/serviceaccounts/sa/token"):
            return await super().request(request, timeout_s=timeout_s)
        self.requests.append(request)
        status = {"token": f"t{len(self.requests)}"}
        return Response(201, {}, orjson.dumps({"status": status}))


def test_tokens_are_kept_and_renewed_in_time() -> None:
    async def main() -> None:
        api = TokenApi()
        objects = Objects(Client(api), JumpingClock())
        wanted = TokenRequest("", 3600)
        assert await objects.token(POD, wanted) == "t1"
        await asyncio.sleep(2000)
        assert await objects.token(POD, wanted) == "t1"
        await asyncio.sleep(1000)
        assert await objects.token(POD, wanted) == "t2"
        asked = orjson.loads(api.requests[0].body)["spec"]
        assert asked["boundObjectRef"] == {
            "kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "u",
        }  # fmt: skip

    run_jumping(main())
