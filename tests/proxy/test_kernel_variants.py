"""Both variants of iptables on a real kernel: told apart, loaded, restarted, changed, repaired."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel
REPO = Path(__file__).parents[2]
VARIANTS = {"nft": "nf_tables", "legacy": "legacy"}


@pytest.mark.parametrize("variant", tuple(VARIANTS))
def test_each_variant_of_iptables_is_told_and_holds_the_rules(variant: str, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for kind in ("", "-save", "-restore"):
        program = shutil.which(f"iptables-{variant}{kind}", path="/usr/sbin:/sbin")
        if program is None:
            pytest.skip(f"iptables-{variant}{kind} is missing")
        (tmp_path / f"iptables{kind}").symlink_to(program)
    lock = str(tmp_path / "lock")
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-m", "tests.proxy.load_variant", lock],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "XTABLES_LOCKFILE": lock},
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    if "legacy" in variant and "Table does not exist" in done.stderr:
        pytest.skip("this kernel has no tables for the legacy variant")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found.pop("version").endswith(VARIANTS[variant])
    assert (found.pop("loads") > 1) == (variant == "nft"), "portions are for nf_tables"
    assert found == {
        "divided": True,
        # At each cluster IP a rule that leads on, and none for masquerading without a detector.
        "services": 1001,
        "restart writes": 0,
        "change writes": 1,
        "changed": True,
        "lost before": False,
        "lost": True,
        "repaired": True,
        "left": [],
    }
