"""Images: references, archives, layers, the store."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from sampan.kubelet.images import BadReference, Images, Missing, normalized
from sampan.kubelet.imagestore.archive import BadArchive
from sampan.kubelet.imagestore.layers import BadLayer
from sampan.kubelet.imagestore.store import DiskImages, InUse, Tools
from sampan.kubelet.settings import HostImage
from sampan.linux.real import zstd
from sampan.testing.clock import JumpingClock, run_jumping
from tests.kubelet.archives import OciImage, docker, entry, folder, link, oci, sha, tar

ROOT = pytest.mark.kernel
"""Unpacking sets owners and makes devices."""


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.25", "docker.io/library/nginx:1.25"),
        ("me/app", "docker.io/me/app:latest"),
        ("localhost/app:x", "localhost/app:x"),
        ("reg.example:5000/a/b:t", "reg.example:5000/a/b:t"),
        ("a@sha256:" + "0" * 64, "docker.io/library/a@sha256:" + "0" * 64),
    ],
)
def test_references_are_made_whole(text: str, want: str) -> None:
    assert normalized(text) == want


@pytest.mark.parametrize("text", ["", "NGINX", "a b", "a::b", "-a", "a/"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(BadReference, match="invalid reference format"):
        normalized(text)


def test_the_host_image_is_always_there_and_others_are_not() -> None:
    images = Images(HostImage(path="/x", env={"A": "b"}))
    found = images.find("localhost/host:any")
    assert found is not None
    assert found.host
    assert found.config.env == ("PATH=/x", "A=b")
    assert images.find("nginx") is None
    missing = images.pull("nginx")
    assert isinstance(missing, Missing)
    assert "docker.io/library/nginx:latest" in missing.message


def store(folder: Path, architecture: str = "amd64") -> DiskImages:
    return DiskImages(str(folder / "images"), Tools(JumpingClock(), architecture, zstd.decompress))


def load(images: DiskImages, path: Path) -> list[str]:
    async def main() -> list[str]:
        return [name for image in images.load(str(path)) for name in image.names]

    return run_jumping(main())


BASE = tar(folder("bin"), entry("bin/sh", b"#!", mode=0o755), folder("etc"),
           entry("etc/a", b"a"), entry("etc/b", b"b", uid=5, gid=6), link("lib", "usr/lib"),
           folder("usr"), folder("usr/lib"))  # fmt: skip
TOP = tar(entry("etc/.wh.a"), entry("etc/b", b"new"), entry("lib/x.so", b"so"), folder("opt"),
          entry("opt/.wh..wh..opq"), link("sh2", "bin/sh", hard=True))  # fmt: skip


@ROOT
def test_layers_of_an_oci_layout_are_unpacked_for_an_overlay(tmp_path: Path) -> None:
    config = {"Entrypoint": ["/bin/sh"], "Cmd": ["-c"], "Env": ["A=b"], "User": "5",
              "WorkingDir": "/opt"}  # fmt: skip
    images = store(tmp_path)
    assert load(images, oci(tmp_path / "i.tar", OciImage([BASE, TOP], config=config))) == [
        "docker.io/library/test:1"
    ]
    image = images.find(normalized("test:1"))
    assert image is not None
    assert image.config.entrypoint == ("/bin/sh",)
    assert (image.config.user, image.config.working_dir) == ("5", "/opt")
    top, base = (Path(layer) for layer in image.layers)
    gone = (top / "etc/a").lstat()
    assert stat.S_ISCHR(gone.st_mode)
    assert gone.st_rdev == 0
    assert (top / "etc/b").read_bytes() == b"new"
    assert (top / "usr/lib/x.so").read_bytes() == b"so", "the link below is followed inside"
    assert os.getxattr(top / "opt", "trusted.overlay.opaque") == b"y"
    assert (top / "sh2").read_bytes() == b"#!"
    assert (base / "bin/sh").stat().st_mode & 0o777 == 0o755
    owner = (base / "etc/b").stat()
    assert (owner.st_uid, owner.st_gid) == (5, 6)
    assert images.find("docker.io/library/test@" + image.id) == image


@ROOT
def test_a_docker_archive_is_loaded(tmp_path: Path) -> None:
    images = store(tmp_path)
    path = docker(tmp_path / "d.tar", [BASE, TOP], ["app:2", "other/app:3"], Cmd=["/bin/sh"])
    assert load(images, path) == ["docker.io/library/app:2", "docker.io/other/app:3"]


@ROOT
@pytest.mark.skipif(shutil.which("zstd") is None, reason="no zstd program to pack with")
def test_zstd_layers(tmp_path: Path) -> None:
    packed = subprocess.run(["zstd", "-c"], input=BASE, capture_output=True, check=True).stdout
    images = store(tmp_path)
    load(images, oci(tmp_path / "z.tar", OciImage([BASE], packed=[packed])))
    assert images.all()[0].size == 4


@ROOT
def test_layers_are_shared_and_removed_with_their_last_image(tmp_path: Path) -> None:
    images = store(tmp_path)
    load(images, oci(tmp_path / "1.tar", OciImage([BASE], name="docker.io/library/a:1")))
    load(images, oci(tmp_path / "2.tar", OciImage([BASE, TOP], name="docker.io/library/b:1")))
    layers = tmp_path / "images" / "layers"
    assert len([path for path in layers.iterdir() if path.is_dir()]) == 2
    assert images.remove("b:1")
    assert len([path for path in layers.iterdir() if path.is_dir()]) == 1
    assert not images.remove("b:1")
    assert images.remove(images.all()[0].id)
    assert list(layers.iterdir()) == []
    assert images.all() == []


@ROOT
def test_another_process_sees_what_was_loaded(tmp_path: Path) -> None:
    first, second = store(tmp_path), store(tmp_path)
    assert second.all() == []
    load(first, oci(tmp_path / "1.tar", OciImage([BASE])))
    assert [image.names for image in second.all()] == [("docker.io/library/test:1",)]


@ROOT
def test_an_image_that_is_used_stays(tmp_path: Path) -> None:
    tools = Tools(JumpingClock(), "amd64", zstd.decompress, is_used=lambda layer: True)
    images = DiskImages(str(tmp_path / "images"), tools)
    load(images, oci(tmp_path / "1.tar", OciImage([BASE])))
    with pytest.raises(InUse):
        images.remove("test:1")


@ROOT
@pytest.mark.parametrize("which", ["layer", "config", "manifest"])
def test_content_that_is_not_what_it_says_is_refused(tmp_path: Path, which: str) -> None:
    image = OciImage([BASE], packed=[BASE])
    _, row = image.blobs()
    digest = {"layer": sha(BASE), "config": sha(image.config_bytes()), "manifest": row["digest"]}
    images = store(tmp_path)
    with pytest.raises((BadArchive, BadLayer), match="digest mismatch"):
        load(images, oci(tmp_path / "x.tar", image, spoil=digest[which]))
    assert images.all() == []


@ROOT
@pytest.mark.parametrize(
    "entries",
    [
        [entry("../../evil", b"x")],
        [entry("/evil", b"x")],
        [link("out", "/"), entry("out/evil", b"x")],
        [link("out", "../../.."), entry("out/evil", b"x")],
        [folder("d"), link("d/out", "/"), entry("d/out/evil", b"x")],
    ],
)
def test_no_path_leaves_the_root(
    tmp_path: Path, entries: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    images = store(tmp_path)
    load(images, oci(tmp_path / "e.tar", OciImage([tar(*entries)])))
    assert (Path(images.all()[0].layers[0]) / "evil").read_bytes() == b"x"
    assert not Path("/evil").exists()
    assert not (tmp_path / "evil").exists()


@ROOT
def test_a_link_below_shows_nothing_of_the_machine(tmp_path: Path) -> None:
    lower = tar(link("a", "/etc"))
    upper = tar(folder("a"), link("stolen", "a/hostname", hard=True))
    images = store(tmp_path)
    with pytest.raises(BadLayer, match="which is not there"):
        load(images, oci(tmp_path / "s.tar", OciImage([lower, upper])))


@ROOT
def test_the_image_for_this_machine_is_chosen(tmp_path: Path) -> None:
    arm = OciImage([TOP], name="docker.io/library/x:1", architecture="arm64")
    amd = OciImage([BASE], name="docker.io/library/x:1")
    images = store(tmp_path)
    load(images, oci(tmp_path / "m.tar", arm, amd))
    assert len(images.all()) == 1
    with pytest.raises(BadArchive, match="no image for linux/riscv64"):
        load(store(tmp_path / "r", "riscv64"), tmp_path / "m.tar")


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello")
    with pytest.raises(BadArchive, match="it is no tar file"):
        load(store(tmp_path), tmp_path / "x")
    (tmp_path / "y").write_bytes(tar(entry("readme", b"x")))
    with pytest.raises(BadArchive, match=r"neither index\.json"):
        load(store(tmp_path), tmp_path / "y")
