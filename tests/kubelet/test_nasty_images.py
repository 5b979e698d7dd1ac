"""Image archives of hostile and careless makers."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import stat
import tarfile
from pathlib import Path

import pytest

from sampan.kubelet.hooks import stop_signal
from sampan.kubelet.imagestore.archive import BadArchive
from sampan.kubelet.imagestore.layers import BadLayer
from sampan.kubelet.imagestore.store import DiskImages, InUse, Tools
from sampan.linux.real import zstd
from sampan.testing.clock import JumpingClock
from tests.kubelet.archives import OciImage, docker, entry, folder, link, oci, sha, tar
from tests.kubelet.test_images import BASE, ROOT, TOP, load, store

OPAQUE = "trusted.overlay.opaque"


def unpacked(folder: Path, *layers: bytes) -> list[Path]:
    """The directories of the layers, from the bottom up."""
    images = store(folder)
    load(images, oci(folder / "i.tar", OciImage(list(layers))))
    return [Path(layer) for layer in reversed(images.all()[0].layers)]


def is_whiteout(path: Path) -> bool:
    state = path.lstat()
    return stat.S_ISCHR(state.st_mode) and state.st_rdev == 0


@ROOT
@pytest.mark.parametrize("name", [".wh...", ".wh..", ".wh.", "d/.wh...", "./.wh..."])
def test_a_whiteout_of_a_parent_folder_takes_nothing_away(tmp_path: Path, name: str) -> None:
    images = store(tmp_path)
    load(images, oci(tmp_path / "good.tar", OciImage([BASE], name="docker.io/library/good:1")))
    evil = tar(folder("d"), entry(name))
    with pytest.raises(BadLayer, match="a whiteout of nothing"):
        load(images, oci(tmp_path / "evil.tar", OciImage([evil])))
    assert [image.names for image in images.all()] == [("docker.io/library/good:1",)]
    assert (Path(images.all()[0].layers[0]) / "bin/sh").exists()
    left = [path.name for path in (tmp_path / "images/layers").iterdir() if path.is_dir()]
    assert left == [Path(images.all()[0].layers[0]).name], "what came to nothing is gone"


@ROOT
def test_a_whiteout_hides_what_is_below_and_not_what_its_layer_has(tmp_path: Path) -> None:
    lower = tar(folder("a"), entry("a/old", b"1"), folder("b"), entry("b/old", b"1"),
                entry("c", b"1"), entry("e", b"1"))  # fmt: skip
    upper = tar(folder("a"), entry("a/new", b"2"), entry(".wh.a"),  # the whiteout comes last
                entry(".wh.b"), folder("b"), entry("b/new", b"2"),  # and first
                entry("c", b"2"), entry(".wh.c"), entry(".wh.e"))  # fmt: skip
    top = unpacked(tmp_path, lower, upper)[1]
    for name in ("a", "b"):
        assert (top / name / "new").read_bytes() == b"2"
        assert os.getxattr(top / name, OPAQUE) == b"y"
    assert (top / "c").read_bytes() == b"2"
    assert is_whiteout(top / "e")


@ROOT
def test_a_folder_made_on_the_way_behind_a_whiteout_shows_nothing_below(tmp_path: Path) -> None:
    lower = tar(folder("d"), entry("d/secret", b"1"))
    top = unpacked(tmp_path, lower, tar(entry(".wh.d"), entry("d/x/y", b"2")))[1]
    assert os.getxattr(top / "d", OPAQUE) == b"y"


@ROOT
def test_what_aufs_keeps_for_itself_is_left_out(tmp_path: Path) -> None:
    (top,) = unpacked(tmp_path, tar(entry(".wh..wh.aufs"), folder(".wh..wh.plnk"), entry("a", b"")))
    assert [path.name for path in top.iterdir()] == ["a"]


@ROOT
def test_a_hard_link_to_what_a_whiteout_took_away_is_refused(tmp_path: Path) -> None:
    upper = tar(entry(".wh.a"), link("b", "a", hard=True))
    with pytest.raises(BadLayer, match="which is not there"):
        unpacked(tmp_path, tar(entry("a", b"1")), upper)


@ROOT
def test_a_hard_link_into_a_lower_layer_keeps_owner_mode_and_capabilities(tmp_path: Path) -> None:
    lower = tar(entry("su", b"x", mode=0o4755, uid=7, gid=8, mtime=99))
    top = unpacked(tmp_path, lower, tar(link("su2", "su", hard=True)))[1]
    state = (top / "su2").stat()
    assert (state.st_uid, state.st_gid, state.st_mtime) == (7, 8, 99)
    assert stat.S_IMODE(state.st_mode) == 0o4755
    assert state.st_ino == (top / "su").stat().st_ino


@ROOT
def test_extended_attributes_are_kept_but_not_those_that_overlays_believe(tmp_path: Path) -> None:
    headers = {
        "SCHILY.xattr.user.kept": "yes",
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
    }
    (top,) = unpacked(tmp_path, tar(entry("d", type=tarfile.DIRTYPE, mode=0o755,
                                          pax_headers=headers)))  # fmt: skip
    names = os.listxattr(top / "d")
    assert not [name for name in names if name.startswith("trusted.overlay")]
    with contextlib.suppress(OSError):  # this file system may know none
        assert os.getxattr(top / "d", "user.kept") == b"yes"


@ROOT
@pytest.mark.parametrize(
    "bad",
    [
        entry("a\0b", b"x", pax_headers={"path": "a\0b"}),
        entry("big", b"x", uid=1 << 40),
        entry("late", b"x", mtime=1e30),
        entry("x" * 300, b"x"),
    ],
    ids=["zero byte", "owner", "time", "long name"],
)
def test_entries_that_no_file_system_takes_are_one_line(
    tmp_path: Path, bad: tuple[tarfile.TarInfo, bytes]
) -> None:
    with pytest.raises(BadLayer) as raised:
        unpacked(tmp_path, tar(bad))
    assert "\n" not in str(raised.value)


@ROOT
def test_damaged_compression_is_one_line(tmp_path: Path) -> None:
    whole = gzip.compress(BASE)
    spoilt = bytearray(whole)
    spoilt[len(spoilt) // 2] ^= 0xFF
    zstandard = b"\x28\xb5\x2f\xfd" + bytes(20)
    for number, packed in enumerate((whole[:-20], bytes(spoilt), whole[:15], zstandard)):
        images = store(tmp_path / str(number))
        os.makedirs(tmp_path / str(number))
        path = oci(tmp_path / str(number) / "i.tar", OciImage([BASE], packed=[packed]))
        with pytest.raises((BadLayer, BadArchive)):
            load(images, path)
        assert images.all() == []


def replaced(path: Path, **members: bytes) -> Path:
    """An archive with other content in some of its members."""
    with tarfile.open(path) as old:
        rows = [(info, old.extractfile(info)) for info in old.getmembers()]
        found = [
            entry(info.name, members.get(info.name, file.read() if file else b""))
            for info, file in rows
        ]
    path.write_bytes(tar(*found))
    return path


@ROOT
@pytest.mark.parametrize(
    "index",
    [
        b"[]",
        b"{}",
        b"nothing",
        b'{"manifests": 7}',
        b'{"manifests": [{}]}',
        b'{"manifests": [{"digest": "sha256:../../../etc/passwd"}]}',
        b'{"manifests": [{"digest": "sha512:aa"}]}',
        b'{"manifests": [{"digest": 7}]}',
        json.dumps({"manifests": [{"digest": "sha256:" + "0" * 64}]}).encode(),
        b"[" * 100_000,
    ],
)
def test_an_index_that_is_none_is_one_line(tmp_path: Path, index: bytes) -> None:
    path = replaced(oci(tmp_path / "i.tar", OciImage([BASE])), **{"index.json": index})
    with pytest.raises(BadArchive) as raised:
        load(store(tmp_path), path)
    assert "\n" not in str(raised.value)


@ROOT
def test_indexes_may_nest_but_not_for_ever(tmp_path: Path) -> None:
    def nested(depth: int) -> Path:
        blobs, row = OciImage([BASE]).blobs()
        for _ in range(depth):
            document = json.dumps({"manifests": [row]}).encode()
            blobs[sha(document)] = document
            row = {"digest": sha(document)}
        index = json.dumps({"manifests": [row]}).encode()
        files = [entry("index.json", index)]
        files += [entry(f"blobs/sha256/{key[7:]}", data) for key, data in blobs.items()]
        path = tmp_path / f"{depth}.tar"
        path.write_bytes(tar(*files))
        return path

    images = store(tmp_path)
    assert load(images, nested(2)) == ["docker.io/library/test:1"]
    with pytest.raises(BadArchive, match="too many indexes"):
        load(images, nested(12))


@ROOT
def test_an_archive_cut_short_is_one_line(tmp_path: Path) -> None:
    whole = oci(tmp_path / "i.tar", OciImage([BASE, TOP])).read_bytes()
    packed = gzip.compress(whole)
    for number, data in enumerate((whole[:700], whole[: len(whole) // 2], packed[:-30], b"")):
        path = tmp_path / f"{number}.tar"
        path.write_bytes(data)
        with pytest.raises((BadArchive, BadLayer)) as raised:
            load(store(tmp_path / str(number)), path)
        assert "\n" not in str(raised.value)


@ROOT
def test_members_that_link_in_a_circle_or_to_nowhere_are_missing(tmp_path: Path) -> None:
    manifest = json.dumps([{"Config": "a", "RepoTags": None, "Layers": []}]).encode()
    for number, target in enumerate(("b", "nowhere")):
        path = tmp_path / f"{number}.tar"
        path.write_bytes(tar(entry("manifest.json", manifest), link("a", target), link("b", "a")))
        with pytest.raises(BadArchive, match="a is missing"):
            load(store(tmp_path), path)


@ROOT
def test_images_for_other_machines_are_left_out_of_docker_archives_too(tmp_path: Path) -> None:
    with pytest.raises(BadArchive, match="no image for linux/riscv64"):
        load(store(tmp_path, "riscv64"), docker(tmp_path / "d.tar", [BASE], ["app:1"]))


@ROOT
def test_a_tag_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadArchive, match="invalid reference format"):
        load(store(tmp_path), docker(tmp_path / "d.tar", [BASE], ["App:1"]))


@ROOT
def test_a_name_moves_to_the_image_that_was_loaded_last(tmp_path: Path) -> None:
    images = store(tmp_path)
    load(images, oci(tmp_path / "1.tar", OciImage([BASE]), OciImage([BASE, TOP])))
    assert sorted(image.names for image in images.all()) == [(), ("docker.io/library/test:1",)]
    found = images.find("docker.io/library/test:1")
    assert found is not None
    assert len(found.layers) == 2


@ROOT
def test_an_image_without_a_name_is_removed_by_its_id_or_the_beginning_of_it(
    tmp_path: Path,
) -> None:
    images = store(tmp_path)
    load(images, docker(tmp_path / "d.tar", [BASE], []))
    (image,) = images.all()
    assert image.names == ()
    assert not images.remove("0000")
    assert images.remove(image.id.removeprefix("sha256:")[:12])
    assert images.all() == []


@ROOT
def test_only_layers_that_would_go_keep_an_image(tmp_path: Path) -> None:
    used: set[str] = set()
    tools = Tools(JumpingClock(), "amd64", zstd.decompress, is_used=used.__contains__)
    images = DiskImages(str(tmp_path / "images"), tools)
    load(images, oci(tmp_path / "1.tar", OciImage([BASE], name="docker.io/library/a:1")))
    load(images, oci(tmp_path / "2.tar", OciImage([BASE, TOP], name="docker.io/library/b:1")))
    base = images.find("docker.io/library/a:1")
    assert base is not None
    used.update(base.layers)
    assert images.remove("b:1"), "a container of a:1 does not keep b:1"
    with pytest.raises(InUse, match="end its pod first"):
        images.remove("a:1")
    load(images, docker(tmp_path / "3.tar", [BASE], ["c:1", "c:2"]))
    assert images.remove("c:1"), "only a name"


@ROOT
def test_an_image_that_runs_stays_though_its_layers_would_too(tmp_path: Path) -> None:
    running: set[str] = set()
    tools = Tools(JumpingClock(), "amd64", zstd.decompress, is_running=running.__contains__)
    images = DiskImages(str(tmp_path / "images"), tools)
    load(images, docker(tmp_path / "1.tar", [BASE], ["a:1"], Cmd=["a"]))
    load(images, docker(tmp_path / "2.tar", [BASE], ["b:1"], Cmd=["b"]))
    found = images.find("docker.io/library/a:1")
    assert found is not None
    running.add(found.id)
    with pytest.raises(InUse):
        images.remove("a:1")
    assert images.remove("b:1")


@ROOT
def test_what_a_killed_load_left_is_in_nobodys_way(tmp_path: Path) -> None:
    layers = tmp_path / "images/layers"
    (layers / ".partial/etc").mkdir(parents=True)
    (layers / "0123").mkdir()
    (layers / "4567.size").write_text("9")
    images = store(tmp_path)
    load(images, oci(tmp_path / "i.tar", OciImage([BASE])))
    (layer,) = images.all()[0].layers
    assert sorted(path.name for path in layers.iterdir()) == [
        Path(layer).name, Path(layer).name + ".size",
    ]  # fmt: skip


@ROOT
def test_killed_at_any_moment_a_load_leaves_a_store_that_works(tmp_path: Path) -> None:
    """A child is killed after each write of the store in turn, until one comes through."""
    path = oci(tmp_path / "i.tar", OciImage([BASE, TOP]))
    for moment in range(1, 80):
        pid = os.fork()
        if pid == 0:
            _die_at(moment, store(tmp_path), path)
        _, status = os.waitpid(pid, 0)
        images = store(tmp_path)
        assert [image.names for image in images.all()] in ([], [("docker.io/library/test:1",)])
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, -signal.SIGKILL)
        if code == 0:
            break
    else:
        raise AssertionError("no load came through")
    assert moment > 3, "some were killed"
    top, base = (Path(layer) for layer in images.all()[0].layers)
    assert (top / "etc/b").read_bytes() == b"new"
    assert (base / "etc/b").read_bytes() == b"b"


def _die_at(moment: int, images: DiskImages, path: Path) -> None:
    import sys

    events = {"os.rename", "os.mkdir", "os.unlink", "shutil.rmtree"}
    count = 0

    def seen(event: str, arguments: object) -> None:
        nonlocal count
        if event not in events:
            return
        count += 1
        if count >= moment:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(seen)
        load(images, path)
        os._exit(0)
    finally:
        os._exit(1)  # never on into the test run of the parent


@pytest.mark.parametrize(
    ("of_pod", "of_image", "number"),
    [
        ("", "", signal.SIGTERM),
        ("", "SIGQUIT", signal.SIGQUIT),
        ("", "quit", signal.SIGQUIT),
        ("", "3", signal.SIGQUIT),
        ("", "SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("", "SIGNOTHING", signal.SIGTERM),
        ("", "9999", signal.SIGTERM),
        ("SIGUSR1", "SIGQUIT", signal.SIGUSR1),
    ],
)
def test_the_pods_stop_signal_wins_over_the_images(of_pod: str, of_image: str, number: int) -> None:
    container = {"lifecycle": {"stopSignal": of_pod}} if of_pod else {}
    assert stop_signal(container, of_image) == number
