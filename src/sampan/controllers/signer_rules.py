"""What the signers of the cluster refuse to sign. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
CLIENT = "kubernetes.io/kube-apiserver-client"
NODES = ("system:nodes",)
NODE_PREFIX = "system:node:"
_EXCHANGE = "key encipherment"
"""Only keys that are used so (RSA) need it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for."""

    name: str
    organizations: tuple[str, ...]
    dns: int = 0
    emails: int = 0
    ips: int = 0
    uris: int = 0

    @classmethod
    def of(cls, request: x509.CertificateSigningRequest) -> Asked:
        from cryptography import x509
        from cryptography.x509.oid import NameOID

        names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        organizations = request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        counts = dict.fromkeys(("dns", "emails", "ips", "uris"), 0)
        for extension in request.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                for kind, form in (("dns", x509.DNSName), ("emails", x509.RFC822Name),
                                   ("ips", x509.IPAddress),
                                   ("uris", x509.UniformResourceIdentifier)):  # fmt: skip
                    counts[kind] = sum(isinstance(item, form) for item in extension.value)
        name = str(names[0].value) if names else ""
        return cls(name, tuple(str(one.value) for one in organizations), **counts)


def problem(signer: str, asked: Asked, usages: list[str]) -> str:
    """Why this signer does not sign it; empty where it does."""
    if signer == KUBELET_CLIENT:
        return _kubelet_client(asked, usages)
    if signer == KUBELET_SERVING:
        return _kubelet_serving(asked, usages)
    if signer == CLIENT:
        return _client(usages)
    return ""


def _kubelet_client(asked: Asked, usages: list[str]) -> str:
    if asked.organizations != NODES:
        return "subject organization is not system:nodes"
    for count, kind in ((asked.dns, "DNS"), (asked.emails, "Email"), (asked.ips, "IP"),
                        (asked.uris, "URI")):  # fmt: skip
        if count:
            return f"{kind} subjectAltNames are not allowed"
    if not asked.name.startswith(NODE_PREFIX):
        return "subject common name does not begin with system:node:"
    return _usages(usages, "client auth")


def _kubelet_serving(asked: Asked, usages: list[str]) -> str:
    if asked.organizations != NODES:
        return "subject organization is not system:nodes"
    if not asked.dns and not asked.ips:
        return "DNS or IP subjectAltName is required"
    for count, kind in ((asked.emails, "Email"), (asked.uris, "URI")):
        if count:
            return f"{kind} subjectAltNames are not allowed"
    found = _usages(usages, "server auth")
    if not found and not asked.name.startswith(NODE_PREFIX):
        return "subject common name does not begin with system:node:"
    return found


def _usages(usages: list[str], purpose: str) -> str:
    full = {"digital signature", _EXCHANGE, purpose}
    if set(usages) in (full, full - {_EXCHANGE}):
        return ""
    return f"usages did not match [{' '.join(sorted(full))}]"


def _client(usages: list[str]) -> str:
    for usage in usages:
        if usage not in ("digital signature", _EXCHANGE, "client auth"):
            return f"invalid usage for client certificate: {usage}"
    if "client auth" not in usages:
        return "missing required usage for client certificate: client auth"
    return ""
