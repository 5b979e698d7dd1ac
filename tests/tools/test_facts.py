"""The generated data is what the tables say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sampan.api import facts, kinds

ROOT = Path(__file__).parent.parent.parent


def test_generated_facts_are_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "facts" / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_kinds_name_every_resource_of_the_tables() -> None:
    served = {
        ("" if group == "core" else group, version, plural, kind, scope == "Namespaced")
        for group, version, plural, kind, scope, *_ in facts.load("resources")
        if "/" not in plural
    }
    assert {tuple(rid) for rid in kinds.ALL} == served


def test_kinds_are_named_by_their_plural() -> None:
    for name, rid in vars(kinds).items():
        if name.isupper() and name != "ALL":
            assert name.removesuffix("_V1") == rid.plural.upper()
