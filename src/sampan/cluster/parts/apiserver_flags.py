"""The API server's flags, and the values and files behind them. Nothing here runs."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from sampan.apiserver.app import Limits
from sampan.apiserver.assemble import Options
from sampan.apiserver.authn.keys import SigningKey, VerifyingKey, load_key, load_public_keys
from sampan.apiserver.authn.static import StaticTokens
from sampan.apiserver.authz.authorizer import MODES
from sampan.apiserver.bootstrap import Cluster
from sampan.apiserver.health import MINOR
from sampan.cluster import pki
from sampan.std.about import About

SERVICE_NAMES = (
    "kubernetes", "kubernetes.default", "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local", "localhost",
)  # fmt: skip


PATHS = (
    "/api", "/apis", "/flagz", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3",
    "/readyz", "/statusz", "/version",
)  # fmt: skip
"""What /statusz lists."""


class BadFlag(Exception):
    """A flag cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Flags:
    """kube-apiserver's, as far as they mean something here."""

    data_dir: Path
    bind_address: str = "0.0.0.0"
    secure_port: int = 6443
    advertise_address: str = ""
    service_cluster_ip_range: str = "10.96.0.0/12"
    service_node_port_range: str = "30000-32767"
    token_auth_file: str = ""
    client_ca_file: str = ""
    cert_dir: str = ""
    """Where the serving pair is or is made; empty = D/pki."""
    tls_cert_file: str = ""
    tls_private_key_file: str = ""
    tls_min_version: str = ""
    service_account_signing_key_file: str = ""
    service_account_key_files: tuple[str, ...] = ()
    service_account_issuer: str = "https://kubernetes.default.svc"
    service_account_issuers: tuple[str, ...] = ()
    """More, whose tokens are taken."""
    authorization_modes: tuple[str, ...] = ("Node", "RBAC")
    api_audiences: tuple[str, ...] = ()
    enable_admission_plugins: tuple[str, ...] = ()
    disable_admission_plugins: tuple[str, ...] = ()
    anonymous_auth: bool = True
    bootstrap_tokens: bool = True
    max_reading: int = 400
    max_writing: int = 200
    flag_values: tuple[tuple[str, str], ...] = ()
    """All flags as text, for /flagz."""
    insecure_port: int = 0
    event_ttl_s: float = 3600.0
    kubelet_certificate_authority: str = ""
    kubelet_client_certificate: str = ""
    kubelet_client_key: str = ""
    names: tuple[str, ...] = ()
    """More names and addresses for the serving certificate."""
    endpoints: tuple[str, ...] = ()
    """Addresses behind `default/kubernetes` where they are not the advertised one."""


def options_for(flags: Flags, folder: Path, port: int, tokens: StaticTokens) -> Options:
    """What the server is assembled by. Raises BadFlag."""
    ranges = service_ranges(flags.service_cluster_ip_range)
    ca_file = Path(flags.client_ca_file) if flags.client_ca_file else folder / "ca.crt"
    if flags.advertise_address:
        usable(flags.advertise_address)
    endpoints = flags.endpoints or advertise_address(flags)
    first = tuple(first_address(text) for text in ranges)
    proxy = folder / "front-proxy"
    subject = pki.Subject("front-proxy-client")
    certificate, key = pki.client_pair(proxy, "front-proxy-client", subject)
    proxy_ca = (proxy / "ca.crt").read_text()
    return Options(
        cluster=Cluster(ranges, first, endpoints, port, ca_file.read_text(), proxy_ca),
        front_proxy=(str(certificate), str(key)),
        issuer=flags.service_account_issuer,
        audiences=flags.api_audiences,
        node_ports=port_range(flags.service_node_port_range),
        issuers=flags.service_account_issuers,
        old_keys=tuple(key for path in flags.service_account_key_files for key in keys_of(path)),
        tokens=tokens,
        anonymous=flags.anonymous_auth,
        bootstrap_tokens=flags.bootstrap_tokens,
        authorization=authorization(flags.authorization_modes),
        limits=Limits(flags.max_reading, flags.max_writing),
        about=About(
            version=f"1.{MINOR}.0",
            started=time.time(),
            flags=dict(flags.flag_values),
            paths=PATHS,
        ),
        enable_admission=flags.enable_admission_plugins,
        disable_admission=flags.disable_admission_plugins,
        event_ttl_s=flags.event_ttl_s,
        kubelet_tls=kubelet_context(flags, folder),
    )


def service_ranges(text: str) -> tuple[str, ...]:
    """One range, or one of each family."""
    found = []
    for part in text.split(","):
        try:
            found.append(ipaddress.ip_network(part.strip()))
        except ValueError as error:
            raise BadFlag(f"--service-cluster-ip-range: {error}") from error
    if len(found) > 2 or len({network.version for network in found}) != len(found):
        raise BadFlag("--service-cluster-ip-range: at most one range of each address family")
    return tuple(str(network) for network in found)


def first_address(range_text: str) -> str:
    network = ipaddress.ip_network(range_text)
    return str(network.network_address + 1)


def port_range(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    if not (dash and low.isdigit() and high.isdigit() and int(low) <= int(high) < 65536):
        raise BadFlag(f"--service-node-port-range: {text!r} is no range such as 30000-32767")
    return int(low), int(high)


def static_tokens(path: str) -> StaticTokens:
    if not path:
        return StaticTokens()
    try:
        return StaticTokens(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise BadFlag(f"--token-auth-file: {path}: {said(error)}") from error


def usable(address: str) -> None:
    """Endpoints cannot be loopback or unspecified; upstream takes such an address, and its
    endpoint object is refused for ever after.
    """
    found = ipaddress.ip_address(address)
    if found.is_unspecified:
        raise BadFlag(f"--advertise-address: {address} is no address that others can reach")


def advertise_address(flags: Flags) -> tuple[str, ...]:
    """Where `default/kubernetes` leads; loopback cannot be an endpoint."""
    if flags.advertise_address:
        return (flags.advertise_address,)
    address = ipaddress.ip_address(flags.bind_address)
    if not address.is_unspecified and not address.is_loopback:
        return (flags.bind_address,)
    return (own_address(),)


def own_address() -> str:
    """The address that the machine would speak from; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "192.0.2.1"
        found: str = probe.getsockname()[0]
        return found


def server_context(flags: Flags, folder: Path) -> ssl.SSLContext:
    """TLS with our own certificate or the given one; client certificates are welcome."""
    if bool(flags.tls_cert_file) != bool(flags.tls_private_key_file):
        raise BadFlag("--tls-cert-file and --tls-private-key-file go together")
    if not (folder / "ca.crt").exists():
        pki.authority(folder)
    if flags.tls_cert_file:
        pair = Path(flags.tls_cert_file), Path(flags.tls_private_key_file)
    else:
        first = [first_address(t) for t in service_ranges(flags.service_cluster_ip_range)]
        addresses = [*first, *(flags.endpoints or advertise_address(flags))]
        names = [*SERVICE_NAMES, "127.0.0.1", "::1", *addresses, *flags.names]
        if not ipaddress.ip_address(flags.bind_address).is_unspecified:
            names.append(flags.bind_address)
        pair = serving_pair(flags.cert_dir, folder, names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    if flags.tls_min_version:
        context.minimum_version = tls_version(flags.tls_min_version)
    try:
        context.load_cert_chain(*pair)
    except (OSError, ssl.SSLError) as error:
        raise BadFlag(
            f"--tls-cert-file {pair[0]}, --tls-private-key-file {pair[1]}: cannot be used as a "
            f"serving pair: {said(error)}"
        ) from error
    try:
        context.load_verify_locations(flags.client_ca_file or folder / "ca.crt")
    except (OSError, ssl.SSLError) as error:
        raise BadFlag(f"--client-ca-file: {flags.client_ca_file}: {said(error)}") from error
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def serving_pair(cert_dir: str, folder: Path, names: list[str]) -> tuple[Path, Path]:
    """Out of `cert_dir` where somebody has put one; else one of our own, copied there."""
    if not cert_dir:
        return pki.serving_pair(folder, "apiserver", names)
    crt, key = Path(cert_dir) / "apiserver.crt", Path(cert_dir) / "apiserver.key"
    if not (crt.exists() and key.exists()):
        made = pki.serving_pair(folder, "apiserver", names)
        pki.write(crt, made[0].read_bytes(), mode=0o644)
        pki.write(key, made[1].read_bytes())
    return crt, key


def tls_version(name: str) -> ssl.TLSVersion:
    versions = {"VersionTLS12": ssl.TLSVersion.TLSv1_2, "VersionTLS13": ssl.TLSVersion.TLSv1_3}
    if name not in versions:
        raise BadFlag(f"--tls-min-version: {name!r} is none of {', '.join(versions)}")
    return versions[name]


def kubelet_context(flags: Flags, folder: Path) -> ssl.SSLContext:
    """Our certificate for kubelets; theirs is checked only by a CA that a flag names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if flags.kubelet_client_certificate:
        pair = Path(flags.kubelet_client_certificate), Path(flags.kubelet_client_key)
    else:
        subject = pki.Subject("kube-apiserver-kubelet-client", ("system:masters",))
        pair = pki.client_pair(folder, "apiserver-kubelet-client", subject)
    try:
        if flags.kubelet_certificate_authority:
            context.load_verify_locations(flags.kubelet_certificate_authority)
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(*pair)
    except (OSError, ssl.SSLError) as error:
        raise BadFlag(f"--kubelet-...: a certificate cannot be read: {error}") from error
    return context


def keys_of(path: str) -> list[VerifyingKey]:
    try:
        return load_public_keys(Path(path).read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise BadFlag(f"--service-account-key-file: {path}: {said(error)}") from error


def signing_key(flags: Flags, folder: Path) -> SigningKey:
    path = flags.service_account_signing_key_file
    if not path:
        return load_key(pki.signing_key(folder))
    try:
        return load_key(Path(path).read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise BadFlag(f"--service-account-signing-key-file: {path}: {said(error)}") from error


def authorization(modes: tuple[str, ...]) -> tuple[str, ...]:
    """Upstream's modes that are served here, in their order."""
    for mode in modes:
        if mode not in MODES:
            raise BadFlag(f"--authorization-mode: {mode!r} is not served; use {', '.join(MODES)}")
    if not modes or len(set(modes)) < len(modes):
        raise BadFlag("--authorization-mode: each mode once, and at least one")
    return modes


def said(error: Exception) -> str:
    """An error's reason without the path that the message names already."""
    reason = error.strerror if isinstance(error, OSError) else None
    return (reason or str(error)).partition("\n")[0]
