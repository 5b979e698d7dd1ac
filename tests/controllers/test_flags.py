"""Flags of `sampan controllers`, and what is said when they cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.cli import controllers as command
from sampan.cluster.parts.controllers import BadFlag, Flags, settings
from sampan.controllers.assembly import UnknownController, chosen
from sampan.controllers.table import CONTROLLERS


def test_all_controllers_run_unless_told_otherwise() -> None:
    assert chosen(("*",)) == list(CONTROLLERS)
    assert "job" not in chosen(("*", "-job"))
    assert chosen(("job", "cronjob")) == ["job", "cronjob"]
    with pytest.raises(UnknownController, match="no controller named 'jobs'"):
        chosen(("*", "-jobs"))


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (Flags(cluster_cidr="10.0.0.0/99"), "--cluster-cidr: '10.0.0.0/99'"),
        (Flags(allocate_node_cidrs=True), "needs --cluster-cidr"),
        (Flags(root_ca_file="/absent"), "--root-ca-file: cannot read /absent: No such file"),
    ],
)
def test_a_flag_that_cannot_be_used_is_named(flags: Flags, why: str) -> None:
    with pytest.raises(BadFlag, match=why):
        settings(flags)


def test_files_are_read_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("CA")
    assert settings(Flags(root_ca_file=str(tmp_path / "ca.crt"))).root_ca == "CA"


@pytest.mark.parametrize(
    ("argv", "status", "says"),
    [
        (["--kubeconfig", "/absent"], 2, "cannot read /absent"),
        (["--controllers", "nothing"], 2, "no controller named 'nothing'"),
        (["--node-monitor-grace-period", "ten"], 2, "'ten' is no duration"),
        (["--master", "http://127.0.0.1:1", "--leader-elect=false",
          "--use-service-account-credentials", "--secure-port", "0"], 1, "cannot reach"),
    ],
)  # fmt: skip
def test_one_line_says_why_it_cannot_run(
    argv: list[str], status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run(argv) == status
    errors = [line for line in capsys.readouterr().err.splitlines() if "sampan controllers" in line]
    assert len(errors) == 1
    assert says in errors[0]
