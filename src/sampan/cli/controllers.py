"""`sampan controllers`: the controllers alone, against any API server, with upstream's flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan.cli.alone import begin, connection, failed, serve
from sampan.cli.controllers_flags import IGNORED, TABLE
from sampan.cli.flagset import FlagSet, Given, shown

if TYPE_CHECKING:
    from sampan.cluster.parts.controllers import Flags
    from sampan.cluster.parts.pages import Serving
    from sampan.loop.leader import Election

PROGRAM = "sampan controllers"
ABOUT = "Run the controllers of a cluster against its API server."


def flag_set() -> FlagSet:
    return FlagSet(PROGRAM, ABOUT, TABLE, IGNORED)


def run(argv: list[str]) -> int:
    """The exit status: 0 after a signal, 1 when it cannot run."""
    given = begin(flag_set(), argv)
    if isinstance(given, int):
        return given
    from sampan.client.kubeconfig import BadKubeconfig
    from sampan.cluster.parts.controllers import Alone, BadFlag, NoServer, settings
    from sampan.cluster.parts.pages import BadPort
    from sampan.controllers.assembly import UnknownController, chosen
    from sampan.loop.leader import LostLease

    try:
        flags = flags_of(given)
        chosen(flags.controllers)
        settings(flags)
        part = Alone(connection(given["kubeconfig"], given["master"]), flags)
    except (BadFlag, UnknownController, BadKubeconfig, ValueError) as error:
        return failed(PROGRAM, error)
    return serve(PROGRAM, part.run, (BadFlag, BadKubeconfig, BadPort, LostLease, NoServer))


def flags_of(given: Given) -> Flags:
    """The flags as the part takes them. Raises ValueError."""
    from sampan.cluster.parts.controllers import Flags

    return Flags(
        controllers=given["controllers"],
        cluster_cidr=",".join(given["cluster-cidr"]),
        allocate_node_cidrs=given["allocate-node-cidrs"],
        node_cidr_mask_size=given["node-cidr-mask-size"],
        node_cidr_mask_size_ipv4=given["node-cidr-mask-size-ipv4"],
        node_cidr_mask_size_ipv6=given["node-cidr-mask-size-ipv6"],
        node_monitor_grace_period_s=given["node-monitor-grace-period"],
        node_monitor_period_s=given["node-monitor-period"],
        node_startup_grace_period_s=given["node-startup-grace-period"],
        node_eviction_rate=given["node-eviction-rate"],
        secondary_node_eviction_rate=given["secondary-node-eviction-rate"],
        unhealthy_zone_threshold=given["unhealthy-zone-threshold"],
        large_cluster_size_threshold=given["large-cluster-size-threshold"],
        terminated_pod_gc_threshold=given["terminated-pod-gc-threshold"],
        root_ca_file=given["root-ca-file"],
        cluster_signing_cert_file=given["cluster-signing-cert-file"],
        cluster_signing_key_file=given["cluster-signing-key-file"],
        cluster_signing_duration_s=given["cluster-signing-duration"],
        service_account_private_key_file=given["service-account-private-key-file"],
        use_service_account_credentials=given["use-service-account-credentials"],
        leader_elect=given["leader-elect"],
        election=election(given),
        serving=serving(given),
    )


def election(given: Given) -> Election:
    """The `--leader-elect-...` flags. Raises ValueError."""
    from sampan.loop.leader import Election, identity

    duration = given["leader-elect-lease-duration"]
    deadline, retry = given["leader-elect-renew-deadline"], given["leader-elect-retry-period"]
    if not 0 < retry < deadline < duration:
        raise ValueError(
            "--leader-elect-lease-duration must be longer than --leader-elect-renew-deadline, and "
            "that than --leader-elect-retry-period"
        )
    return Election(
        given["leader-elect-resource-name"],
        identity(),
        given["leader-elect-resource-namespace"],
        max(1, int(duration)),
        deadline,
        retry,
    )


def serving(given: Given) -> Serving:
    """The flags of the pages."""
    from sampan.cluster.parts.pages import Serving

    return Serving(
        bind_address=given["bind-address"],
        secure_port=given["secure-port"],
        http_port=given.values.get("http-port", 0),
        cert_file=given["tls-cert-file"],
        key_file=given["tls-private-key-file"],
        client_ca_file=given["client-ca-file"],
        authentication_kubeconfig=given["authentication-kubeconfig"],
        authorization_kubeconfig=given["authorization-kubeconfig"],
        open_paths=given["authorization-always-allow-paths"],
        flags={name: shown(value) for name, value in given.values.items()},
    )
