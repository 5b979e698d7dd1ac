"""User-Mode Linux: a real kernel of its own, booted in seconds, with the machine's own files.

For what this machine's kernel may lack, such as ip_vs. The root file system is the machine's own,
read only; only /run is fresh. Nothing of the machine is changed, and its network is not seen.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
MODULES = Path("/usr/lib/uml/modules")
REMEDY = "apt install user-mode-linux ipvsadm ipset iptables kmod"
TOO_WIDE = "this processor has more registers than User-Mode Linux can hold"
MODPROBE = """
ipv6 ip_vs ip_vs_rr ip_vs_wrr ip_vs_lc ip_vs_wlc ip_vs_sh ip_vs_dh ip_vs_sed ip_vs_nq ip_vs_lblc
ip_vs_lblcr ip_vs_mh dummy veth bridge ip_tables iptable_nat iptable_filter ip6_tables ip6table_nat
ip6table_filter iptable_mangle ip6table_mangle ip_set ip_set_hash_ip ip_set_hash_ipport
ip_set_hash_ipportip ip_set_hash_ipportnet ip_set_bitmap_port xt_set xt_comment xt_conntrack xt_mark
xt_addrtype xt_MASQUERADE xt_nat xt_tcpudp xt_physdev xt_statistic xt_recent ipt_REJECT ip6t_REJECT
nf_conntrack nf_conntrack_netlink sctp xt_sctp
"""
INIT = """#!/bin/bash
export PATH=/run/tools:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run
export PYTHONDONTWRITEBYTECODE=1
echo "uml: started"
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs run /run
mkdir -p /run/netns /run/lock /run/tools /run/m/lib/modules
ln -s {modules} /run/m/lib/modules/$(uname -r)
for name in iptables ip6tables; do for kind in "" -save -restore; do
  ln -s /usr/sbin/$name-legacy$kind /run/tools/$name$kind
done; done
for name in {wanted}; do modprobe -d /run/m $name || echo "uml: no module $name"; done
ip link set lo up
cd {repo}
{python} -m {command} 2>&1 | grep -v '^$'
echo "uml: over"
echo o > /proc/sysrq-trigger; sleep 5
"""


def missing() -> str:
    """What this machine lacks for it."""
    for name in ("linux.uml", "ipset", "ipvsadm", "iptables-legacy-restore", "modprobe"):
        if not shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
            return name
    return "" if MODULES.is_dir() else str(MODULES)


def boot(folder: Path, command: Sequence[str], timeout_s: float = 240) -> str:
    """Run a Python module with its arguments as the only program; what the console showed."""
    init = folder / "init"
    init.write_text(
        INIT.format(
            modules=next(MODULES.iterdir()),
            wanted=" ".join(MODPROBE.split()),
            repo=REPO,
            python=sys.executable,
            command=" ".join(command),
        )
    )
    init.chmod(0o755)
    # A test's folder must be readable through hostfs by the machine's own root.
    folder.chmod(0o755)
    done = subprocess.run(
        [
            "linux.uml",
            "mem=768M",
            f"uml_dir={folder}",
            "root=/dev/root",
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            "quiet",
            f"init={init}",
            "con=null",
            "con0=null,fd:1",
        ],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    return done.stdout


def said(console: str) -> list[str]:
    """The lines that were meant for the test."""
    return [line[5:].strip() for line in console.splitlines() if line.startswith("uml: ")]


def told(folder: Path, *command: str) -> list[str]:
    """What a module says to the test; skips it, with the reason, where nothing boots."""
    if missing():
        pytest.skip(f"{missing()} is missing; {REMEDY}")
    console = boot(folder, command)
    if "put_fp_registers" in console:
        pytest.skip(TOO_WIDE)
    lines = said(console)
    if "started" not in lines:
        pytest.skip(f"User-Mode Linux does not boot here: {console.strip()[-200:]}")
    assert "over" in lines, console[-2000:]
    return lines
