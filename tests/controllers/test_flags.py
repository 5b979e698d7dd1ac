"""Flags of `sampan controllers`, and what is said when they cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.cli import controllers as command
from sampan.client.client import Client
from sampan.client.transport import Request, Response, Unreachable
from sampan.cluster.parts.controllers import BadFlag, Flags, NoServer, Work, settings
from sampan.controllers.assembly import Controllers, UnknownController, chosen
from sampan.controllers.deps import Deps
from sampan.controllers.table import CONTROLLERS
from sampan.loop.informers import Informers
from sampan.testing.clock import JumpingClock, run_jumping


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
    ("argv", "says"),
    [
        (["--kubeconfig", "/absent"], "cannot read /absent"),
        (["--controllers", "nothing"], "no controller named 'nothing'"),
        (["--node-monitor-grace-period", "ten"], 'invalid argument "ten" for "--node-monitor-'),
        (["--cluster-cidr", "x", "--kubeconfig", "/absent"], "--cluster-cidr: 'x'"),
        (["--leader-elect-lease-duration=5s", "--kubeconfig", "/absent"], "must be longer than"),
        (["--cluster-cidr=10.0.0.0/8,fd00::/48", "--node-cidr-mask-size=24"], "for one family"),
    ],
)
def test_one_line_says_why_it_cannot_run(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run(argv) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sampan controllers: ")
    assert says in line


def test_without_election_a_server_gets_ten_seconds() -> None:
    """As upstream: it may be about to start, but a wrong address must not wait for ever."""

    async def main() -> None:
        clock = JumpingClock()
        client = Client(Refusing(), user_agent="c")
        deps = Deps(client, Informers(client, clock), clock)
        work = Work(client, Controllers(deps, ("job",)), None, clock)
        with pytest.raises(NoServer, match=r"cannot reach x: no \(waited 10 s\)"):
            await work.run(lambda: None)
        assert clock.monotonic() >= 10

    run_jumping(main())


class Refusing:
    """A transport to nobody."""

    async def request(self, request: Request, *, timeout_s: float = 30) -> Response:
        raise Unreachable("cannot reach x: no")

    async def close(self) -> None: ...
