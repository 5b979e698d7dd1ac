"""CertificateApproval, CertificateSigning, CertificateSubjectRestriction: who may say yes to a
certificate request, who may issue it, and which subject nobody gets.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from sampan.apiserver.attempts import CREATE, UPDATE, Attempt, Kinds
from sampan.apiserver.authz.attributes import Attributes
from sampan.apiserver.authz.authorizer import Authorizer
from sampan.resources.certificates import csr

GROUP = "certificates.k8s.io"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


class CertificateIdentity:
    """A request says who made it, and its conditions when they came; nobody else can tell."""

    kinds: Kinds = frozenset({(GROUP, "certificatesigningrequests")})

    def __init__(self, timestamp: Callable[[], str]) -> None:
        self._timestamp = timestamp

    async def admit(self, attempt: Attempt) -> None:
        rid = attempt.id
        if (rid.group, rid.plural) != (GROUP, "certificatesigningrequests"):
            return
        if attempt.operation == CREATE and attempt.obj is not None:
            user = attempt.user
            extra = {key: list(values) for key, values in user.extra.items()}
            csr.requested_by(attempt.obj, user.name, user.uid, user.groups, extra)
        elif attempt.subresource and attempt.obj is not None and attempt.old is not None:
            csr.stamp(attempt.obj, attempt.old, self._timestamp())

    async def validate(self, attempt: Attempt) -> None:
        return


class CertificateVerbs:
    """Approving needs the verb `approve`, issuing the verb `sign`, on the signer."""

    kinds: Kinds = frozenset({(GROUP, "certificatesigningrequests")})

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def admit(self, attempt: Attempt) -> None:
        return

    async def validate(self, attempt: Attempt) -> None:
        if attempt.id.group != GROUP or attempt.operation != UPDATE or attempt.old is None:
            return
        signer = attempt.old["spec"].get("signerName", "")
        if attempt.subresource == "approval":
            self._require(attempt, "approve", signer, "approve")
        elif attempt.subresource == "status":
            new = ((attempt.obj or {}).get("status") or {}).get("certificate")
            if new != (attempt.old.get("status") or {}).get("certificate"):
                self._require(attempt, "sign", signer, "sign")

    def _require(self, attempt: Attempt, verb: str, signer: str, word: str) -> None:
        domain = signer.partition("/")[0] + "/*"
        for name in (signer, domain):
            asked = Attributes(attempt.user, verb, GROUP, "signers", name=name)
            if self._authorizer.decide(asked).allowed:
                return
        raise attempt.forbid(f'user not permitted to {word} requests with signerName "{signer}"')


class CertificateSubjectRestriction:
    kinds: Kinds = frozenset({(GROUP, "certificatesigningrequests")})

    async def admit(self, attempt: Attempt) -> None:
        return

    async def validate(self, attempt: Attempt) -> None:
        if not attempt.is_for(GROUP, "certificatesigningrequests"):
            return
        if attempt.operation != CREATE or attempt.obj is None:
            return
        spec = attempt.obj["spec"]
        if spec.get("signerName") != CLIENT_SIGNER:
            return
        if "system:masters" in _organizations(spec.get("request", "")):
            raise attempt.forbid(
                f"use of {CLIENT_SIGNER} signer with system:masters group is not allowed"
            )


def _organizations(request: str) -> list[str]:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    parsed = x509.load_pem_x509_csr(base64.b64decode(request))
    found = parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return [str(attribute.value) for attribute in found]
