"""`sampan apiserver`: a control plane without controllers and nodes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sampan.cli.alone import begin, failed
from sampan.cli.apiserver_flags import IGNORED, REFUSED, TABLE
from sampan.cli.flagset import FlagSet, Given, shown

if TYPE_CHECKING:
    from sampan.cluster.parts.apiserver_flags import Flags

PROGRAM = "sampan apiserver"
ABOUT = (
    "Serve the Kubernetes API from an embedded store. Keys and certificates that are not given\n"
    "are made in DATA_DIR/pki."
)
LEVELS = ("debug", "info", "warning", "error")


def flag_set() -> FlagSet:
    return FlagSet(PROGRAM, ABOUT, TABLE, IGNORED)


def run(argv: list[str]) -> int:
    """The exit status: 0 after a signal, 1 when it cannot run."""
    if refused := refusal(argv):
        return failed(PROGRAM, refused)
    given = begin(flag_set(), argv)
    if isinstance(given, int):
        return given
    if not given["data-dir"]:
        return failed(PROGRAM, "--data-dir is needed: the folder for the store and the keys")
    from sampan.cluster.parts import apiserver
    from sampan.std import log

    if given["verbosity"] in LEVELS:
        log.setup(given["verbosity"])
    try:
        return apiserver.run(flags_of(given))
    except apiserver.REFUSALS as error:
        return failed(PROGRAM, error)
    except OSError as error:
        return failed(PROGRAM, _in_words(error, given))


def refusal(argv: list[str]) -> str:
    """What a flag would promise that is not there; empty when none does."""
    for word in argv:
        name = word.lstrip("-").partition("=")[0].replace("_", "-")
        if word.startswith("--") and name in REFUSED:
            return f"--{name}: {REFUSED[name]}"
    return ""


def _in_words(error: OSError, given: Given) -> str:
    if error.filename:
        return f"{error.filename}: {error.strerror}"
    where = f"{given['bind-address']}:{given['secure-port']}"
    return f"cannot serve on {where}: {error.strerror or error}; see --secure-port, --bind-address"


def flags_of(given: Given) -> Flags:
    """The flags as the API server takes them."""
    from sampan.cluster.parts.apiserver_flags import Flags

    issuers = given["service-account-issuer"]
    return Flags(
        data_dir=Path(given["data-dir"]),
        bind_address=given["bind-address"],
        secure_port=given["secure-port"],
        advertise_address=given["advertise-address"],
        service_cluster_ip_range=given["service-cluster-ip-range"],
        service_node_port_range=given["service-node-port-range"],
        token_auth_file=given["token-auth-file"],
        client_ca_file=given["client-ca-file"],
        cert_dir=given["cert-dir"],
        tls_cert_file=given["tls-cert-file"],
        tls_private_key_file=given["tls-private-key-file"],
        tls_min_version=given["tls-min-version"],
        service_account_signing_key_file=given["service-account-signing-key-file"],
        service_account_issuer=issuers[0] if issuers else "",
        service_account_issuers=issuers[1:],
        api_audiences=given["api-audiences"],
        authorization_modes=given["authorization-mode"],
        enable_admission_plugins=given["enable-admission-plugins"],
        disable_admission_plugins=given["disable-admission-plugins"],
        anonymous_auth=given["anonymous-auth"],
        bootstrap_tokens=given["enable-bootstrap-token-auth"],
        insecure_port=given["insecure-port"],
        service_account_key_files=given["service-account-key-file"],
        event_ttl_s=given["event-ttl"],
        kubelet_certificate_authority=given["kubelet-certificate-authority"],
        kubelet_client_certificate=given["kubelet-client-certificate"],
        kubelet_client_key=given["kubelet-client-key"],
        names=given["tls-sans"],
        max_reading=given["max-requests-inflight"],
        max_writing=given["max-mutating-requests-inflight"],
        flag_values=tuple((name, shown(value)) for name, value in given.values.items()),
    )
