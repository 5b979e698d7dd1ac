"""A full disk: writes are refused with a word, nothing is lost, and all goes on when there is
room.
"""

from pathlib import Path

import pytest
from machine import Machine

pytestmark = pytest.mark.e2e


def config_map(name: str, size: int) -> str:
    head = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n"
    return head + "data: {a: " + "x" * size + "}\n"


def test_a_full_disk_refuses_writes_and_loses_nothing(machine: Machine) -> None:
    state = Path(machine.root)
    machine.run("sh", "-c", f"mkdir -p {state} && mount -t tmpfs -o size=60m none {state}")
    machine.sampan("up", "-q")
    machine.sampan("apply", "-f", "-", stdin=config_map("before", 10))
    machine.run("sh", "-c", f"dd if=/dev/zero of={state}/fill bs=1M", check=False)
    refused = [
        machine.sampan("apply", "-f", "-", stdin=config_map(f"big{n}", 500_000), check=False)
        for n in range(3)
    ]
    assert refused[-1].returncode == 1
    assert "nothing was stored: database or disk is full" in refused[-1].stderr
    assert "before" in machine.sampan("get", "cm").stdout
    machine.run("rm", f"{state}/fill")
    machine.sampan("apply", "-f", "-", stdin=config_map("after", 10))
    machine.sampan("down")
    machine.sampan("up", "-q")
    names = machine.sampan("get", "cm", "-o", "name").stdout.split()
    assert {"configmap/before", "configmap/after"} <= set(names)
    done = {f"configmap/big{n}" for n, one in enumerate(refused) if one.returncode == 0}
    assert done <= set(names)
