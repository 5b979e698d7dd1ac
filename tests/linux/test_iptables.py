"""How iptables' programs are started: played by scripts of the same names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sampan.linux.base.iptables import IptablesError
from sampan.linux.real.iptables import RealIptables

Program = Callable[[str], Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Makes `iptables-restore` of a shell's words; it runs in a folder of its own."""

    def made(words: str) -> Path:
        path = tmp_path / "iptables-restore"
        path.write_text(f"#!/bin/sh\ncd {tmp_path}\n{words}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        return tmp_path

    return made


def test_a_script_of_any_size_reaches_the_program(program: Program) -> None:
    folder = program('cat > script; echo "$@" > words; yes said | head -c 200000')
    script = "*nat\n" + "-A KUBE-SERVICES -j RETURN\n" * 20_000 + "COMMIT\n"
    RealIptables(4).restore(script)
    assert (folder / "script").read_text() == script
    assert (folder / "words").read_text() == "--noflush --wait 5\n"


def test_a_refusal_is_told_in_the_programs_words(program: Program) -> None:
    program("echo 'line 2 failed' >&2; exit 2")
    with pytest.raises(IptablesError, match="iptables-restore: line 2 failed"):
        RealIptables(4).restore("*nat\nCOMMIT\n")


def test_a_program_that_does_not_end_is_ended(program: Program) -> None:
    program("exec sleep 60")
    with pytest.raises(IptablesError, match="no end after 0 s"):
        RealIptables(4, limit_s=0).restore("*nat\nCOMMIT\n")


def test_a_program_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(IptablesError, match=r"iptables-restore: .*No such file"):
        RealIptables(4).restore("*nat\nCOMMIT\n")


def test_a_lock_of_its_own_is_named_to_the_program(program: Program) -> None:
    folder = program('echo "$XTABLES_LOCKFILE" > lock')
    RealIptables(4, "/run/own.lock").restore("*nat\nCOMMIT\n")
    assert (folder / "lock").read_text() == "/run/own.lock\n"


def test_what_a_program_prints_comes_whole(program: Program) -> None:
    folder = program("yes | head -c 300000; echo; echo 'iptables v1.8.9 (nf_tables)'; echo no >&2")
    (folder / "iptables").write_bytes((folder / "iptables-restore").read_bytes())
    (folder / "iptables").chmod(0o755)
    assert RealIptables(4).version() == "1.8.9 nf_tables"
