"""eBPF mode: what sockets may translate, and that rules stay whole beside it."""

from __future__ import annotations

import asyncio
import hashlib
import platform
import shutil
import subprocess
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from sampan.api.meta import Key
from sampan.linux.base.bpf import SocketService
from sampan.linux.fake.bpf import FakeSocketBalancer
from sampan.linux.fake.nft import FakeNft
from sampan.linux.real import elf
from sampan.proxy.backends.ebpf.backend import EbpfBackend
from sampan.proxy.backends.ebpf.sockets import listing, pod_ranges, sockets
from sampan.proxy.backends.nftables.backend import NftablesBackend
from sampan.proxy.model import Port, Rules, Target
from sampan.proxy.settings import Detector, FamilySettings, Settings

SETTINGS = Settings("n1", (FamilySettings(4, Detector(("10.244.0.0/16",)), node_port_ips=()),))
KEY = Key("default", "web")
VIP = SocketService("10.96.0.1", 80, "tcp")


def rules(*ips: str, affinity_s: int = 0) -> Rules:
    targets = tuple(Target(ip, 8080, True) for ip in ips)
    port = Port(
        "",
        "tcp",
        4,
        "10.96.0.1",
        80,
        30080,
        (),
        (),
        (),
        False,
        False,
        affinity_s,
        targets,
        (),
        bool(ips),
        frozenset(),
    )
    return Rules(KEY, (port,), None, "")


def test_plain_cluster_ips_are_translated_and_nothing_else() -> None:
    assert sockets(rules("10.244.1.11"), SETTINGS) == {VIP: (("10.244.1.11", 8080),)}
    assert sockets(rules("10.244.1.11", affinity_s=60), SETTINGS) == {}
    assert sockets(rules(), SETTINGS) == {}
    hidden = tuple(replace(one, masquerade_all=True) for one in SETTINGS.families)
    assert sockets(rules("10.244.1.11"), Settings("n1", hidden)) == {}


def test_bound_sockets_are_pods_only_within_the_pods_ranges() -> None:
    assert pod_ranges(SETTINGS) == ["10.244.0.0/16"]
    by_name = Settings("n1", (FamilySettings(4, Detector(interface="veth*")),))
    assert pod_ranges(by_name) == ["255.255.255.255/32"]


def test_changes_reach_sockets_and_rules() -> None:
    nft, balancer = FakeNft(), FakeSocketBalancer()
    backend = EbpfBackend(NftablesBackend(nft, SETTINGS), balancer, SETTINGS)

    async def main() -> None:
        one, two = rules("10.244.1.11"), rules("10.244.1.12")
        await backend.resync({KEY: one})
        assert balancer.services == {VIP: (("10.244.1.11", 8080),)}
        assert balancer.pods == ("10.244.0.0/16",)
        await backend.load([backend.render(KEY, one, two)])
        assert balancer.services == {VIP: (("10.244.1.12", 8080),)}
        await backend.load([backend.render(KEY, two, rules("10.244.1.12", affinity_s=9))])
        assert balancer.services == {}
        assert nft.tables["ip", "kube-proxy"].verdicts["affinity-services"]
        await backend.cleanup()
        assert not balancer.attached

    asyncio.run(main())


def test_a_restart_with_nothing_changed_writes_no_map() -> None:
    nft, balancer = FakeNft(), FakeSocketBalancer()

    async def main() -> None:
        for _ in range(2):
            backend = EbpfBackend(NftablesBackend(nft, SETTINGS), balancer, SETTINGS)
            await backend.resync({KEY: rules("10.244.1.11")})

    asyncio.run(main())
    assert balancer.writes == 1


def test_the_listing_is_readable() -> None:
    assert listing({VIP: (("10.244.1.11", 8080), ("10.244.2.11", 8080))}) == (
        "socket tcp 10.96.0.1:80 -> 10.244.1.11:8080, 10.244.2.11:8080\n"
    )


def test_the_prebuilt_object_was_made_from_the_source_beside_it() -> None:
    """Whoever changes one must make the other: `sha256sum sockets.c sockets.o > sockets.sum`."""
    folder = resources.files("sampan.proxy.backends.ebpf")
    wanted = dict(
        reversed(line.split()) for line in folder.joinpath("sockets.sum").read_text().splitlines()
    )
    for name in ("sockets.c", "sockets.o"):
        found = hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest()
        assert found == wanted[name], name


@pytest.mark.skipif(not shutil.which("clang"), reason="clang is missing: apt install clang")
def test_the_source_makes_the_prebuilt_object(tmp_path: Path) -> None:
    folder = Path(str(resources.files("sampan.proxy.backends.ebpf")))
    headers = f"/usr/include/{platform.machine()}-linux-gnu"
    command = ["clang", "-O2", "-g0", "-target", "bpf", f"-I{headers}", "-c", "sockets.c", "-o"]
    subprocess.run([*command, str(tmp_path / "made.o")], cwd=folder, check=True)
    made = elf.read((tmp_path / "made.o").read_bytes())
    kept = elf.read((folder / "sockets.o").read_bytes())
    assert made.maps == kept.maps
    assert made.programs.keys() == kept.programs.keys()
    version = subprocess.run(["clang", "--version"], check=True, capture_output=True, text=True)
    if "version 14." in version.stdout:
        # Other compilers write other code, which is no fault of ours.
        assert made == kept


def test_the_prebuilt_object_has_all_programs_and_maps() -> None:
    image = resources.files("sampan.proxy.backends.ebpf").joinpath("sockets.o").read_bytes()
    made = elf.read(image)
    assert set(made.programs) == {
        f"{hook}{family}"
        for hook in ("connect", "sendmsg", "recvmsg", "getpeername")
        for family in (4, 6)
    }
    assert set(made.maps) == {"locals", "services", "slots", "members", "peers", "flows"}
    assert made.license == "Apache-2.0"
