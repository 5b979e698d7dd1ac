"""`sampan controllers`: the controllers alone, against any API server, with upstream's flags."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from sampan.cli.alone import add_boolean, connection, until_signal

if TYPE_CHECKING:
    from sampan.cluster.parts.controllers import Flags


def parser() -> argparse.ArgumentParser:
    """Every flag with its default; booleans take `--flag` and `--flag=false`, as Go's do."""
    made = argparse.ArgumentParser(
        prog="sampan controllers",
        description="Run the controllers of a cluster against its API server.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = made.add_argument
    add("--kubeconfig", default="", help="how to reach the API server; without it, as a pod does")
    add("--master", default="", help="address of the API server, over the kubeconfig's")
    add("--controllers", default="*", help="which: '*', names, and '-name' to leave one out")
    add("--cluster-cidr", default="", help="range of the pod addresses, two for dual stack")
    add_boolean(made, "--allocate-node-cidrs", default=False, text="give each node a part of it")
    add("--node-cidr-mask-size", type=int, default=0, help="size of a node's part; 0: 24")
    add("--node-monitor-grace-period", default="50s", help="silence after which a node is Unknown")
    add("--node-monitor-period", default="5s", help="how often silence is looked for")
    add("--terminated-pod-gc-threshold", type=int, default=12500, help="finished pods to keep")
    add("--root-ca-file", default="", help="authority that every namespace's ConfigMap names")
    add("--cluster-signing-cert-file", default="", help="authority that signs certificates")
    add("--cluster-signing-key-file", default="", help="its key")
    add("--cluster-signing-duration", default="8760h", help="longest life of a certificate")
    add("--service-account-private-key-file", default="", help="key that signs token Secrets")
    text = "each controller acts as its own service account"
    add_boolean(made, "--use-service-account-credentials", default=False, text=text)
    add_boolean(made, "--leader-elect", default=True, text="work only while holding the lease")
    add("--bind-address", default="0.0.0.0", help="where the health page listens")
    add("--secure-port", type=int, default=10257, help="of /healthz and /metrics; 0: none")
    add("-v", "--v", type=int, default=0, help="4 and more: debug logs")
    return made


def run(argv: list[str]) -> int:
    """The exit status: 0 after a signal, 1 when it cannot run, 2 for bad usage."""
    options = parser().parse_args(argv)
    from sampan.api.errors import ApiError
    from sampan.client.kubeconfig import BadKubeconfig
    from sampan.client.transport import Unreachable
    from sampan.cluster.parts.controllers import Alone, BadFlag, settings
    from sampan.controllers.assembly import UnknownController, chosen
    from sampan.loop.leader import LostLease
    from sampan.std import log

    log.setup("debug" if options.v >= 4 else "info")
    try:
        flags = _flags(options)
        chosen(flags.controllers)
        settings(flags)
        found = connection(options.kubeconfig, options.master)
    except (BadFlag, UnknownController, BadKubeconfig, ValueError) as error:
        return _fail(error, 2)
    try:
        return asyncio.run(until_signal(Alone(found, flags).run))
    except* (BadFlag, LostLease, Unreachable, ApiError) as group:
        problem: BaseException = group
        while isinstance(problem, BaseExceptionGroup):
            problem = problem.exceptions[0]
        status = _fail(problem, 1)
    return status


def _flags(options: argparse.Namespace) -> Flags:
    from sampan.cluster.parts.controllers import Flags

    return Flags(
        controllers=tuple(options.controllers.split(",")),
        cluster_cidr=options.cluster_cidr,
        allocate_node_cidrs=options.allocate_node_cidrs,
        node_cidr_mask_size=options.node_cidr_mask_size,
        node_monitor_grace_period_s=_seconds(options.node_monitor_grace_period),
        node_monitor_period_s=_seconds(options.node_monitor_period),
        terminated_pod_gc_threshold=options.terminated_pod_gc_threshold,
        root_ca_file=options.root_ca_file,
        cluster_signing_cert_file=options.cluster_signing_cert_file,
        cluster_signing_key_file=options.cluster_signing_key_file,
        cluster_signing_duration_s=_seconds(options.cluster_signing_duration),
        service_account_private_key_file=options.service_account_private_key_file,
        use_service_account_credentials=options.use_service_account_credentials,
        leader_elect=options.leader_elect,
        bind_address=options.bind_address,
        secure_port=options.secure_port,
    )


def _seconds(text: str) -> float:
    """Go's durations: `1m30s`, `250ms`. Raises ValueError."""
    import re

    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration, such as 40s or 1m30s")
    return sum(float(number) * units[unit] for number, unit in parts)


def _fail(error: BaseException, status: int) -> int:
    print(f"sampan controllers: {error}", file=sys.stderr)
    return status
