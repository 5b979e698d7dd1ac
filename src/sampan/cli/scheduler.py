"""`sampan scheduler`: the scheduler alone, against any API server, with upstream's flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan.api.meta import Json
from sampan.cli.alone import begin, connection, failed, serve
from sampan.cli.controllers import election, serving
from sampan.cli.flagset import FlagSet, Given, duration
from sampan.cli.scheduler_flags import IGNORED, TABLE

if TYPE_CHECKING:
    from sampan.cluster.parts.scheduler import Flags

PROGRAM = "sampan scheduler"
ABOUT = "Place the pods of a cluster, against its API server."
ELECTION = {
    "leaderElect": "leader-elect",
    "resourceName": "leader-elect-resource-name",
    "resourceNamespace": "leader-elect-resource-namespace",
    "leaseDuration": "leader-elect-lease-duration",
    "renewDeadline": "leader-elect-renew-deadline",
    "retryPeriod": "leader-elect-retry-period",
}
"""Fields of a configuration's `leaderElection`, and the flags that win over them."""


def flag_set() -> FlagSet:
    return FlagSet(PROGRAM, ABOUT, TABLE, IGNORED)


def run(argv: list[str]) -> int:
    """The exit status: 0 after a signal, 1 when it cannot run."""
    given = begin(flag_set(), argv)
    if isinstance(given, int):
        return given
    from sampan.client.kubeconfig import BadKubeconfig
    from sampan.cluster.parts.pages import BadPort
    from sampan.cluster.parts.scheduler import Alone
    from sampan.loop.leader import LostLease
    from sampan.scheduler.config import read

    try:
        config = read(given["config"])
        take(given, config)
        if given["write-config-to"]:
            return _write(given["write-config-to"], config)
        part = Alone(connection(given["kubeconfig"], given["master"]), flags_of(given, config))
    except (BadKubeconfig, ValueError, OSError) as error:
        return failed(PROGRAM, error)
    return serve(PROGRAM, part.run, (BadKubeconfig, BadPort, LostLease))


def take(given: Given, config: Json) -> None:
    """What a configuration says beside its profiles, where no flag says otherwise. Raises
    ValueError.
    """
    leading = config.get("leaderElection") or {}
    for field_name, flag in ELECTION.items():
        value = leading.get(field_name)
        if value is None or flag in given.named:
            continue
        is_time = flag_set().flags[flag].kind == "duration"
        given.values[flag] = duration(str(value)) if is_time else value
    path = (config.get("clientConnection") or {}).get("kubeconfig")
    if path and "kubeconfig" not in given.named:
        given.values["kubeconfig"] = path


def flags_of(given: Given, config: Json) -> Flags:
    """The flags as the part takes them. Raises ValueError."""
    from sampan.cluster.parts.scheduler import Flags
    from sampan.scheduler.config import GROUP, profiles_of

    return Flags(
        profiles_of(config, given["config"]),
        given["leader-elect"],
        election(given),
        serving(given),
        {GROUP: config},
    )


def _write(path: str, config: Json) -> int:
    import yaml

    with open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump(config, file)
    return 0
