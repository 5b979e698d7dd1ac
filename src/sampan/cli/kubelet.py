"""`sampan kubelet`: one node's kubelet alone, against any API server, with upstream's flags."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sampan.cli.alone import begin, connection, failed, serve
from sampan.cli.flagset import FlagSet, Given, shown
from sampan.cli.kubelet_config import in_force, take
from sampan.cli.kubelet_flags import IGNORED, OWN_LABELS, TABLE

if TYPE_CHECKING:
    from sampan.client.kubeconfig import Connection
    from sampan.kubelet.settings import KubeletSettings, Registration, Reserved, Server


PROGRAM = "sampan kubelet"
ABOUT = "Run the pods of one node, against any API server."


def flag_set() -> FlagSet:
    return FlagSet(PROGRAM, ABOUT, TABLE, IGNORED)


def run(argv: list[str]) -> int:
    """The exit status: 0 after a signal, 1 when it cannot run."""
    given = begin(flag_set(), argv)
    if isinstance(given, int):
        return given
    if os.geteuid() != 0:
        return failed(PROGRAM, "only root can make namespaces and mounts: run it with sudo")
    try:
        in_vain = take(given, given["config"])
    except ValueError as error:
        return failed(PROGRAM, error)
    if in_vain:
        print(f"{PROGRAM}: without effect in {given['config']}: {in_vain}", file=sys.stderr)
    name = given["hostname-override"] or given["node-name"] or socket.gethostname()
    node = name.strip().lower()
    run_dir = given["run-dir"] or f"/run/sampan/kubelet-{node}"
    cgroup = given["cgroup-root"].strip("/") or f"sampan/kubelet/{node}"
    from sampan.cluster.parts import launcher

    if given["cleanup"]:
        launcher.clean_up(run_dir)
        return 0
    try:
        # First of all, while this process is small: a fork costs what its parent holds.
        is_new = launcher.start(run_dir, cgroup, given["root-dir"])
    except OSError as error:
        return failed(PROGRAM, error)
    code = _serve(given, node, run_dir, cgroup)
    if code and is_new:
        launcher.clean_up(run_dir)  # it came to nothing: leave nothing
    return code


def _serve(given: Given, node: str, run_dir: str, cgroup: str) -> int:
    from sampan.client.kubeconfig import BadKubeconfig
    from sampan.client.transport import Unreachable
    from sampan.cluster.parts.kubelet import Alone, CannotRun, device_of

    try:
        way = connection(given["kubeconfig"], given["master"])
        settings = _settings(given, way, node, run_dir, cgroup)
        device, wider = device_of(settings.node_ips[0]), given["pod-network-kubeconfig"]
        lister = connection(wider, "").client("sampan-pod-network") if wider else None
        part = Alone(way.client("sampan-kubelet"), settings, device, lister)
    except (BadKubeconfig, CannotRun, ValueError, OSError) as error:
        return failed(PROGRAM, error)
    return serve(PROGRAM, part.run, (BadKubeconfig, CannotRun, Unreachable, OSError))


def _settings(
    given: Given, way: Connection, node: str, run_dir: str, cgroup: str
) -> KubeletSettings:
    from sampan.api import quantity
    from sampan.cluster.parts.kubelet import own_address
    from sampan.kubelet.settings import Dns, HostImage, KubeletSettings, Periods

    own = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath)
    return KubeletSettings(
        node_name=node,
        root_dir=given["root-dir"],
        run_dir=run_dir,
        cgroup=cgroup,
        node_ips=given["node-ip"] or (own_address(),),
        pod_manifest_path=given["pod-manifest-path"],
        manifest_url=given["manifest-url"],
        max_pods=given["max-pods"],
        pod_pids_limit=max(0, given["pod-max-pids"]),
        container_log_max_bytes=quantity.parse(given["container-log-max-size"]).value,
        container_log_files=given["container-log-max-files"],
        registration=_registration(given),
        periods=Periods(
            status_s=given["node-status-update-frequency"],
            sync_s=given["sync-frequency"],
            manifests_s=given["file-check-frequency"],
        ),
        dns=Dns(given["cluster-dns"], given["cluster-domain"], given["resolv-conf"]),
        host_image=HostImage(
            path=os.pathsep.join(dict.fromkeys([own, *path.split(os.pathsep)])),
            hidden=(given["kubeconfig"],) if given["kubeconfig"] else (),
        ),
        server=_server(given, way),
        reserved=_reserved(given),
    )


def _registration(given: Given) -> Registration:
    from sampan.kubelet.settings import Registration

    labels = given["node-labels"]
    strange = sorted(name for name in labels if not _is_own_label(name))
    if strange:
        raise ValueError(
            f"--node-labels: a node may not give itself {', '.join(strange)}; of kubernetes.io and "
            "k8s.io only kubelet.kubernetes.io/..., node.kubernetes.io/... and the known ones"
        )
    return Registration(
        enabled=given["register-node"],
        labels=labels,
        taints=tuple(_taint(text) for text in given["register-with-taints"]),
        unschedulable=not given["register-schedulable"],
        provider_id=given["provider-id"],
    )


def _is_own_label(name: str) -> bool:
    """Upstream's rule, so that a node cannot put itself where it does not belong."""
    domain = name.partition("/")[0] if "/" in name else ""
    if not any(domain == d or domain.endswith("." + d) for d in ("kubernetes.io", "k8s.io")):
        return True
    own = ("kubelet.kubernetes.io", "node.kubernetes.io")
    return name in OWN_LABELS or any(domain == d or domain.endswith("." + d) for d in own)


def _reserved(given: Given) -> Reserved:
    """`--kube-reserved` and `--system-reserved` together."""
    from sampan.api import quantity
    from sampan.kubelet.settings import Reserved

    both = (given["kube-reserved"], given["system-reserved"])
    cpu = sum(quantity.parse(part.get("cpu", "0")).milli for part in both)
    memory = sum(quantity.parse(part.get("memory", "0")).value for part in both)
    return Reserved(f"{cpu}m", str(memory))


def _server(given: Given, way: Connection) -> Server:
    from sampan.kubelet.settings import Server

    if given["authorization-mode"] not in ("Webhook", "AlwaysAllow"):
        raise ValueError("--authorization-mode: Webhook or AlwaysAllow")
    return Server(
        address=given["address"],
        port=given["port"],
        certificate=_content(given, "tls-cert-file"),
        key=_content(given, "tls-private-key-file"),
        client_ca=_content(given, "client-ca-file") or way.ca,
        delegate=given["authentication-token-webhook"],
        anonymous=given["anonymous-auth"],
        always_allow=given["authorization-mode"] == "AlwaysAllow",
        health_address=given["healthz-bind-address"],
        health_port=given["healthz-port"],
        flags={name: shown(value) for name, value in given.values.items()},
        config=in_force(given),
    )


def _content(given: Given, flag: str) -> bytes:
    path = given[flag]
    try:
        return Path(path).read_bytes() if path else b""
    except OSError as error:
        raise ValueError(f"--{flag}: cannot read {path}: {error.strerror}") from error


def _taint(text: str) -> dict[str, str]:
    rest, colon, effect = text.rpartition(":")
    if effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute") or not colon:
        raise ValueError(f"--register-with-taints: {text!r} is no key=value:effect")
    key, _, value = rest.partition("=")
    return {"key": key, "effect": effect, **({"value": value} if value else {})}
