"""IPVS mode on a kernel that has it: User-Mode Linux, booted for the purpose in a few seconds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel
REPO = Path(__file__).parents[2]
MODULES = Path("/usr/lib/uml/modules")
WANTED = (
    "ipv6 ip_vs ip_vs_rr ip_vs_lc ip_vs_sh dummy veth bridge ip_tables iptable_nat iptable_filter "
    "ip6_tables ip6table_nat ip6table_filter iptable_mangle ip6table_mangle ip_set ip_set_hash_ip "
    "ip_set_hash_ipport ip_set_hash_ipportip ip_set_hash_ipportnet ip_set_bitmap_port xt_set "
    "xt_comment xt_conntrack xt_mark xt_addrtype xt_MASQUERADE xt_nat xt_tcpudp xt_physdev "
    "ipt_REJECT ip6t_REJECT nf_conntrack nf_reject_ipv4"
)
CASES = (
    "clusterip-one-endpoint",
    "clusterip-three-endpoints",
    "clusterip-no-endpoints",
    "clusterip-udp",
    "clusterip-unknown-port",
    "nodeport",
    "loadbalancer",
    "external-local",
    "external-ips",
    "source-ranges",
    "affinity-two-endpoints",
    "hairpin",
    "all-draining",
    "internal-local",
    "two-services-share-endpoints",
    "ipv6-clusterip",
)
INIT = """#!/bin/bash
export PATH={tools}:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc; mount -t sysfs sys /sys
mount -t tmpfs run /run; mount -t tmpfs tmp /tmp
mkdir -p /run/netns /run/lock {tools} /tmp/m/lib/modules
ln -s {modules} /tmp/m/lib/modules/$(uname -r)
for name in iptables ip6tables; do for kind in "" -save -restore; do
  ln -s /usr/sbin/$name-legacy$kind {tools}/$name$kind
done; done
for name in {wanted}; do modprobe -d /tmp/m $name 2>/dev/null; done
ip link set lo up
cd {repo}
{python} -m tests.proxy.uml_ipvs {cases} 2>&1 | grep -v '^$'
echo "uml: over"
echo o > /proc/sysrq-trigger; sleep 5
"""


def missing() -> str:
    """What this machine lacks for it."""
    for name in ("linux.uml", "ipset", "iptables-legacy-restore"):
        if not shutil.which(name):
            return name
    return "" if MODULES.is_dir() else str(MODULES)


def test_ipvs_treats_packets_as_the_stories_say(tmp_path: Path) -> None:
    if missing():
        pytest.skip(f"{missing()} is missing; apt install user-mode-linux ipset iptables")
    release = next(MODULES.iterdir())
    init = tmp_path / "init"
    init.write_text(
        INIT.format(
            tools="/tmp/tools",
            modules=release,
            wanted=WANTED,
            repo=REPO,
            python=sys.executable,
            cases=" ".join(CASES),
        )
    )
    init.chmod(0o755)
    # A test's folder must be readable through hostfs by the machine's own root.
    os.chmod(tmp_path, 0o755)
    done = subprocess.run(
        [
            "linux.uml",
            "mem=512M",
            "root=/dev/root",
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            f"init={init}",
            "con=null",
            "con0=null,fd:1",
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    if "put_fp_registers" in done.stdout:
        pytest.skip("this processor has more registers than User-Mode Linux can hold")
    lines = [line[5:] for line in done.stdout.splitlines() if line.startswith("uml: ")]
    assert "over" in lines, done.stdout[-2000:]
    assert "probe good" in lines, lines
    assert [line for line in lines if line.startswith("FAIL")] == []
    assert len([line for line in lines if line.startswith("PASS")]) == len(CASES) + 2
