"""`sampan kubelet`: one node's kubelet alone, against any API server, with upstream's flags."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sampan.cli.alone import add_boolean, connection, until_signal

if TYPE_CHECKING:
    from sampan.client.kubeconfig import Connection
    from sampan.kubelet.settings import KubeletSettings, Registration, Server


def parser() -> argparse.ArgumentParser:
    """Every flag with its default; booleans take `--flag` and `--flag=false`, as Go's do."""
    made = argparse.ArgumentParser(
        prog="sampan kubelet",
        description="Run the pods of one node, against any API server.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = made.add_argument
    add("--kubeconfig", default="", help="how to reach the API server; without it, as a pod does")
    add("--master", default="", help="address of the API server, over the kubeconfig's")
    add("--node-name", "--hostname-override", default="", help="this node; the host's if empty")
    add("--node-ip", default="", help="this node's address; the one of the default route if empty")
    add("--root-dir", default="/var/lib/kubelet", help="state: volumes, images, logs")
    add("--run-dir", default="", help="run-time files; /run/sampan/kubelet-NODE if empty")
    add("--cgroup-root", default="", help="parent group of the pods; sampan/kubelet/NODE if empty")
    add("--cluster-dns", default="", help="addresses of the cluster DNS, by commas")
    add("--cluster-domain", default="cluster.local", help="domain of the cluster's names")
    add("--resolv-conf", default="/etc/resolv.conf", help="the node's own resolver file")
    add("--pod-manifest-path", default="", help="directory of static pods")
    add("--manifest-url", default="", help="URL of static pods")
    add("--max-pods", type=int, default=110, help="how many pods may run here")
    add("--pod-max-pids", type=int, default=-1, help="process ids of one pod; -1: no limit")
    add("--node-labels", default="", help="labels of the node when it registers, k=v,…")
    add("--register-with-taints", default="", help="taints of the node, k=v:effect,…")
    for name, default, text in (
        ("--register-node", True, "make the Node object"),
        ("--register-schedulable", True, "take pods from the beginning"),
        ("--anonymous-auth", False, "let in who has no credentials, as system:anonymous"),
        ("--authentication-token-webhook", True, "ask the API server about bearer tokens"),
    ):
        add_boolean(made, name, default=default, text=text)
    add(
        "--authorization-mode",
        default="Webhook",
        choices=("Webhook", "AlwaysAllow"),
        help="ask the API server who may do what, or let everybody",
    )
    add("--address", default="0.0.0.0", help="where the port listens")
    add("--port", type=int, default=10250, help="logs, exec, statistics; with TLS")
    add("--healthz-bind-address", default="127.0.0.1", help="where the health page listens")
    add("--healthz-port", type=int, default=10248, help="plain /healthz; 0: none")
    add("--tls-cert-file", default="", help="certificate of the port; one is made if empty")
    add("--tls-private-key-file", default="", help="its key")
    add("--client-ca-file", default="", help="who signs clients; the kubeconfig's CA if empty")
    add("--container-log-max-size", default="10Mi", help="a log of this size is rotated")
    add("--container-log-max-files", type=int, default=5, help="how many are kept")
    add("--provider-id", default="", help="spec.providerID of the node")
    add("--cleanup", action="store_true", help="end all pods of the node, remove them, and exit")
    add("-v", "--v", type=int, default=0, help="4 and more: debug logs")
    return made


def run(argv: list[str]) -> int:
    """The exit status: 0 after a signal, 1 when it cannot run, 2 for bad usage."""
    options = parser().parse_args(argv)
    if os.geteuid() != 0:
        return _fail("only root can make namespaces and mounts: run it with sudo", 1)
    node = (options.node_name or socket.gethostname()).strip().lower()
    run_dir = options.run_dir or f"/run/sampan/kubelet-{node}"
    cgroup = options.cgroup_root.strip("/") or f"sampan/kubelet/{node}"
    from sampan.cluster.parts import launcher

    if options.cleanup:
        launcher.clean_up(run_dir)
        return 0
    try:
        # First of all, while this process is small: a fork costs what its parent holds.
        is_new = launcher.start(run_dir, cgroup, options.root_dir)
    except OSError as error:
        return _fail(error, 1)
    code = _serve(options, node, run_dir, cgroup)
    if code and is_new:
        launcher.clean_up(run_dir)  # it came to nothing: leave nothing
    return code


def _serve(options: argparse.Namespace, node: str, run_dir: str, cgroup: str) -> int:
    from sampan.api.quantity import QuantityError
    from sampan.client.kubeconfig import BadKubeconfig
    from sampan.client.transport import Unreachable
    from sampan.cluster.parts.kubelet import Alone, CannotRun, device_of
    from sampan.std import log

    log.setup("debug" if options.v >= 4 else "info")
    try:
        way = connection(options.kubeconfig, options.master)
        settings = _settings(options, way, node, run_dir, cgroup)
        part = Alone(way.client("sampan-kubelet"), settings, device_of(settings.node_ips[0]))
    except (BadKubeconfig, QuantityError, ValueError) as error:
        return _fail(error, 2)
    except (CannotRun, OSError) as error:
        return _fail(error, 1)
    try:
        return asyncio.run(until_signal(part.run))
    except (Unreachable, OSError) as error:
        return _fail(error, 1)


def _settings(
    options: argparse.Namespace, way: Connection, node: str, run_dir: str, cgroup: str
) -> KubeletSettings:
    from sampan.api import quantity
    from sampan.cluster.parts.kubelet import own_address
    from sampan.kubelet.settings import Dns, HostImage, KubeletSettings

    own = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath)
    servers = tuple(part for part in options.cluster_dns.split(",") if part)
    return KubeletSettings(
        node_name=node,
        root_dir=options.root_dir,
        run_dir=run_dir,
        cgroup=cgroup,
        node_ips=(options.node_ip or own_address(),),
        pod_manifest_path=options.pod_manifest_path,
        manifest_url=options.manifest_url,
        max_pods=options.max_pods,
        pod_pids_limit=max(0, options.pod_max_pids),
        container_log_max_bytes=quantity.parse(options.container_log_max_size).value,
        container_log_files=options.container_log_max_files,
        registration=_registration(options),
        dns=Dns(servers, options.cluster_domain, options.resolv_conf),
        host_image=HostImage(
            path=os.pathsep.join(dict.fromkeys([own, *path.split(os.pathsep)])),
            hidden=(options.kubeconfig,) if options.kubeconfig else (),
        ),
        server=_server(options, way),
    )


def _registration(options: argparse.Namespace) -> Registration:
    from sampan.kubelet.settings import Registration

    labels = dict(_pair(text, "--node-labels") for text in _list(options.node_labels))
    return Registration(
        enabled=options.register_node,
        labels=labels,
        taints=tuple(_taint(text) for text in _list(options.register_with_taints)),
        unschedulable=not options.register_schedulable,
        provider_id=options.provider_id,
    )


def _server(options: argparse.Namespace, way: Connection) -> Server:
    from sampan.kubelet.settings import Server

    def data(path: str) -> bytes:
        return Path(path).read_bytes() if path else b""

    return Server(
        address=options.address,
        port=options.port,
        certificate=data(options.tls_cert_file),
        key=data(options.tls_private_key_file),
        client_ca=data(options.client_ca_file) or way.ca,
        delegate=options.authentication_token_webhook,
        anonymous=options.anonymous_auth,
        always_allow=options.authorization_mode == "AlwaysAllow",
        health_address=options.healthz_bind_address,
        health_port=options.healthz_port,
    )


def _list(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def _pair(text: str, flag: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{flag}: {text!r} is no key=value")
    return name, value


def _taint(text: str) -> dict[str, str]:
    rest, colon, effect = text.rpartition(":")
    if effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute") or not colon:
        raise ValueError(f"--register-with-taints: {text!r} is no key=value:effect")
    key, _, value = rest.partition("=")
    return {"key": key, "effect": effect, **({"value": value} if value else {})}


def _fail(why: object, code: int) -> int:
    print(f"sampan kubelet: {why}", file=sys.stderr)
    return code
