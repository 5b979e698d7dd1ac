"""`sampan apiserver`: a control plane without controllers and nodes."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sampan.cluster.parts.apiserver_flags import Flags


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="sampan apiserver",
        description="Serve the Kubernetes API from an embedded store. Keys and certificates that "
        "are not given are made in DATA_DIR/pki.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = made.add_argument
    add("--data-dir", type=Path, required=True, help="folder for the store and the keys")
    add("--bind-address", default="0.0.0.0", help="address to listen on")
    add("--secure-port", type=int, default=6443, help="HTTPS port; 0 takes a free one")
    add("--advertise-address", default="", help="endpoint of default/kubernetes (default: own)")
    add(
        "--service-cluster-ip-range",
        default="10.96.0.0/12",
        metavar="R4[,R6]",
        help="addresses of Services, one range for each family",
    )
    add("--service-node-port-range", default="30000-32767", help="ports of NodePort Services")
    add("--token-auth-file", default="", help='CSV file: token,user,uid[,"group1,group2"]')
    add("--client-ca-file", default="", help="CA of client certificates (default: pki/ca.crt)")
    add("--tls-cert-file", default="", help="serving certificate (default: made)")
    add("--tls-private-key-file", default="", help="its key")
    add("--service-account-signing-key-file", default="", help="EC P-256 key (default: made)")
    add(
        "--service-account-key-file",
        action="append",
        default=[],
        help="more keys by which tokens are checked; may be given again",
    )
    add(
        "--service-account-issuer",
        default="https://kubernetes.default.svc",
        help="issuer of ServiceAccount tokens",
    )
    add("--api-audiences", default="", help="audiences of tokens, by comma (default: the issuer)")
    add("--enable-admission-plugins", default="", help="plugins beside the default ones, by comma")
    add("--disable-admission-plugins", default="", help="plugins to leave out, by comma")
    add("--authorization-mode", default="Node,RBAC", help="Node and RBAC, in this order")
    add("--allow-privileged", default="true", help="privileged pods are always allowed")
    add("--event-ttl", default="1h", help="how long events are kept: 30m, 1h, ...")
    add("--kubelet-certificate-authority", default="", help="CA of kubelets (default: unchecked)")
    add("--kubelet-client-certificate", default="", help="certificate for kubelets (default: made)")
    add("--kubelet-client-key", default="", help="its key")
    add(
        "--anonymous-auth",
        choices=("true", "false"),
        default="true",
        help="whether who shows no credential is system:anonymous",
    )
    add("--insecure-port", type=int, default=0, help="plain HTTP on loopback, as root; 0: none")
    add("--tls-sans", default="", help="more names for the serving certificate, by comma")
    add(
        "-v",
        "--verbosity",
        dest="level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="what is logged to standard error",
    )
    return made  # fmt: skip


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    from sampan.cluster.parts import apiserver
    from sampan.std import log

    if set(args.authorization_mode.split(",")) - {"Node", "RBAC"} or (
        "RBAC" not in args.authorization_mode
    ):
        return _fail("--authorization-mode: only Node,RBAC is served")
    if _seconds(args.event_ttl) is None:
        return _fail(f"--event-ttl: {args.event_ttl!r} is no duration such as 1h30m")
    log.setup(args.level)
    try:
        return apiserver.run(_flags(args))
    except apiserver.REFUSALS as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"cannot serve on {args.bind_address}:{args.secure_port}: {error}")


def _flags(args: argparse.Namespace) -> Flags:
    from sampan.cluster.parts.apiserver_flags import Flags

    return Flags(
        data_dir=args.data_dir,
        bind_address=args.bind_address,
        secure_port=args.secure_port,
        advertise_address=args.advertise_address,
        service_cluster_ip_range=args.service_cluster_ip_range,
        service_node_port_range=args.service_node_port_range,
        token_auth_file=args.token_auth_file,
        client_ca_file=args.client_ca_file,
        tls_cert_file=args.tls_cert_file,
        tls_private_key_file=args.tls_private_key_file,
        service_account_signing_key_file=args.service_account_signing_key_file,
        service_account_issuer=args.service_account_issuer,
        api_audiences=_listed(args.api_audiences),
        enable_admission_plugins=_listed(args.enable_admission_plugins),
        disable_admission_plugins=_listed(args.disable_admission_plugins),
        anonymous_auth=args.anonymous_auth == "true",
        insecure_port=args.insecure_port,
        service_account_key_files=tuple(args.service_account_key_file),
        event_ttl_s=_seconds(args.event_ttl) or 0,
        kubelet_certificate_authority=args.kubelet_certificate_authority,
        kubelet_client_certificate=args.kubelet_client_certificate,
        kubelet_client_key=args.kubelet_client_key,
        names=_listed(args.tls_sans),
    )


def _seconds(text: str) -> float | None:
    """Go's way to write a duration: 1h30m, 45s."""
    units = {"h": 3600, "m": 60, "s": 1}
    if not re.fullmatch(r"(\d+[hms])+", text):
        return None
    return float(sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+)([hms])", text)))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _fail(text: str) -> int:
    print(f"sampan apiserver: {text}", file=sys.stderr)
    return 1
