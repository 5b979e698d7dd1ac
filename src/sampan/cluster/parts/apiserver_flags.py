"""The API server's flags, and the values and files behind them. Nothing here runs."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from sampan.apiserver.assemble import Options
from sampan.apiserver.authn.static import StaticTokens
from sampan.apiserver.authn.tokens import VerifyingKey, load_public_key
from sampan.apiserver.bootstrap import Cluster
from sampan.cluster import pki

SERVICE_NAMES = (
    "kubernetes", "kubernetes.default", "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local", "localhost",
)  # fmt: skip


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
    tls_cert_file: str = ""
    tls_private_key_file: str = ""
    service_account_signing_key_file: str = ""
    service_account_key_files: tuple[str, ...] = ()
    service_account_issuer: str = "https://kubernetes.default.svc"
    api_audiences: tuple[str, ...] = ()
    enable_admission_plugins: tuple[str, ...] = ()
    disable_admission_plugins: tuple[str, ...] = ()
    anonymous_auth: bool = True
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
        old_keys=tuple(public_key(path) for path in flags.service_account_key_files),
        tokens=tokens,
        anonymous=flags.anonymous_auth,
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
        raise BadFlag(f"--token-auth-file: {path}: {error}") from error


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
        pair = pki.serving_pair(folder, "apiserver", names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(*pair)
        context.load_verify_locations(flags.client_ca_file or folder / "ca.crt")
    except (OSError, ssl.SSLError) as error:
        raise BadFlag(
            f"the serving certificate or the client CA cannot be read: {error}"
        ) from error
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


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


def public_key(path: str) -> VerifyingKey:
    try:
        return load_public_key(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise BadFlag(f"--service-account-key-file: {path}: {error}") from error


def signing_key(flags: Flags, folder: Path) -> bytes:
    if not flags.service_account_signing_key_file:
        return pki.signing_key(folder)
    try:
        return Path(flags.service_account_signing_key_file).read_bytes()
    except OSError as error:
        raise BadFlag(f"--service-account-signing-key-file: {error}") from error
