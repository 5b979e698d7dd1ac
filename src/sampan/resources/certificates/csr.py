"""CertificateSigningRequest: somebody asks for a certificate, somebody approves, a signer issues.

Who asks and when conditions changed is only known to the API server: it calls `requested_by` on
create and `stamp` on writes of approval and status.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource, Subresource
from sampan.resources import cells, rules
from sampan.resources.rules import Errors
from sampan.resources.signers import signer_name

LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
SHORTEST_S = 600
DECISIONS = ("Approved", "Denied")
FINAL = ("Approved", "Denied", "Failed")
_USAGES = sorted((
    "signing", "digital signature", "content commitment", "key encipherment", "key agreement",
    "data encipherment", "cert sign", "crl sign", "encipher only", "decipher only", "any",
    "server auth", "client auth", "code signing", "email protection", "s/mime", "ipsec end system",
    "ipsec tunnel", "ipsec user", "timestamping", "ocsp signing", "microsoft sgc", "netscape sgc",
))  # fmt: skip


def requested_by(obj: Json, user: str, uid: str, groups: Iterable[str], extra: Json) -> None:
    """Write down who asks; what the client says about that does not count."""
    spec = obj.setdefault("spec", {})
    told = {"username": user, "uid": uid, "groups": list(groups), "extra": extra}
    for field, value in told.items():
        spec.pop(field, None)
        if value:
            spec[field] = value


def stamp(new: Json, old: Json, now: str) -> None:
    """Conditions get their times: changed ones a new transition, all of them an update."""
    before = {each["type"]: each for each in (old.get("status") or {}).get("conditions") or ()}
    for condition in (new.get("status") or {}).get("conditions") or ():
        same = before.get(condition.get("type", ""))
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = (same or {}).get("lastUpdateTime") or now
        if same is not None and same.get("status") == condition.get("status"):
            if same.get("lastTransitionTime"):
                condition["lastTransitionTime"] = same["lastTransitionTime"]
        elif not condition.get("lastTransitionTime"):
            condition["lastTransitionTime"] = now


def prepare(new: Json, old: Json | None, subresource: str) -> None:
    """The spec never changes; approval writes conditions only, status never decides."""
    if old is None:
        return
    new["spec"] = old["spec"]
    before = old.get("status") or {}
    conditions = (new.get("status") or {}).get("conditions")
    if subresource == "approval":
        rest = {name: value for name, value in before.items() if name != "conditions"}
        new["status"] = {**rest, "conditions": conditions} if conditions else rest
    elif subresource == "status":
        kept = [each for each in before.get("conditions") or () if each["type"] in DECISIONS]
        others = [each for each in conditions or () if each.get("type") not in DECISIONS]
        if kept + others:
            new.setdefault("status", {})["conditions"] = kept + others


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    status = new.get("status") or {}
    errors = _spec(new.get("spec") or {}) if old is None else rules.none()
    errors += _conditions(status.get("conditions") or ())
    if old is not None:
        errors += _update(status, old.get("status") or {}, subresource)
    certificate = status.get("certificate")
    if certificate and subresource == "status":
        errors += _certificate(certificate)
    return errors


def _spec(spec: Json) -> Errors:
    errors = _request(spec.get("request") or "")
    usages = spec.get("usages") or ()
    if not usages:
        errors += rules.required("spec.usages")
    for at, usage in enumerate(usages):
        if usage not in _USAGES:
            errors += rules.not_supported(f"spec.usages[{at}]", usage, _USAGES)
        if usage in usages[:at]:
            errors += rules.duplicate(f"spec.usages[{at}]", usage)
    signer = spec.get("signerName", "")
    if signer == LEGACY_SIGNER:
        says = "the legacy signerName is not allowed via this API version"
        errors += rules.invalid("spec.signerName", signer, says)
    else:
        errors += signer_name("spec.signerName", signer)
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < SHORTEST_S:
        says = "may not specify a duration less than 600 seconds (10 minutes)"
        errors += rules.invalid("spec.expirationSeconds", seconds, says)
    return errors


def _request(encoded: str) -> Errors:
    from cryptography import x509  # A heavy import, and most servers never see a request.
    from cryptography.exceptions import UnsupportedAlgorithm

    def bad(says: str) -> Errors:
        return rules.invalid("spec.request", encoded, says)

    try:
        pem = base64.b64decode(encoded)
    except binascii.Error:
        pem = b""
    if not re.search(b"-----BEGIN (NEW )?CERTIFICATE REQUEST-----", pem):
        return bad("PEM block type must be CERTIFICATE REQUEST")
    try:
        if not x509.load_pem_x509_csr(pem).is_signature_valid:
            return bad("x509: invalid signature")
    except (ValueError, UnsupportedAlgorithm) as error:
        return bad(str(error))
    return []


def _certificate(encoded: str) -> Errors:
    from cryptography import x509

    try:
        x509.load_pem_x509_certificates(base64.b64decode(encoded))
    except (ValueError, binascii.Error) as error:
        return rules.invalid("status.certificate", "<certificate data>", str(error))
    return []


def _conditions(conditions: Iterable[Json]) -> Errors:
    errors, seen = rules.none(), set[str]()
    for at, condition in enumerate(conditions):
        path, kind = f"status.conditions[{at}]", condition.get("type", "")
        status = condition.get("status", "")
        if not kind:
            errors += rules.required(f"{path}.type")
        if not status:
            errors += rules.required(f"{path}.status")
        elif kind in FINAL and status != "True":
            errors += rules.not_supported(f"{path}.status", status, ["True"])
        if kind in DECISIONS and seen & (set(DECISIONS) - {kind}):
            says = "Approved and Denied conditions are mutually exclusive"
            errors += rules.invalid(f"{path}.type", kind, says)
        if kind in seen:
            errors += rules.duplicate(f"{path}.type", kind)
        seen.add(kind)
    return errors


def _update(status: Json, before: Json, subresource: str) -> Errors:
    has, had = (
        {each.get("type") for each in which.get("conditions") or ()} for which in (status, before)
    )
    errors: Errors = []
    for kind in FINAL:
        if kind in had and kind not in has:
            says = f'updates may not remove a condition of type "{kind}"'
            errors += rules.forbidden("status.conditions", says)
    if before.get("certificate") and before["certificate"] != status.get("certificate"):
        says = "updates may not set certificate content"
        errors += rules.forbidden("status.certificate", says)
    return errors


def condition_text(obj: Json) -> str:
    status = obj.get("status") or {}
    types = {each.get("type") for each in status.get("conditions") or ()}
    text = next((kind for kind in ("Denied", "Approved") if kind in types), "Pending")
    text += ",Failed" if "Failed" in types else ""
    return text + (",Issued" if status.get("certificate") else "")


def _duration(obj: Json) -> str:
    seconds = obj["spec"].get("expirationSeconds")
    return cells.NONE if seconds is None else cells.human_duration(seconds)


def _name(name: str, prefix: bool) -> list[str]:
    """Whatever fits into a path; nobody looks at a generateName."""
    return [] if prefix else names.path_segment(name)


_RID = kinds.CERTIFICATESIGNINGREQUESTS

CERTIFICATESIGNINGREQUEST = Resource(
    id=_RID,
    schema="io.k8s.api.certificates.v1.CertificateSigningRequest",
    singular="certificatesigningrequest",
    status_metadata_checks="both",
    short=("csr",),
    prepare=prepare,
    validate=validate,
    columns=(
        cells.NAME,
        cells.AGE,
        cells.column("SignerName", lambda obj: obj["spec"].get("signerName") or cells.NONE),
        cells.column("Requestor", cells.field("spec", "username")),
        cells.column("RequestedDuration", _duration),
        cells.column("Condition", condition_text),
    ),
    fields={"spec.signerName": cells.field("spec", "signerName")},
    no_namespace_field=True,
    subresources=(Subresource("approval", _RID), Subresource("status", _RID)),
    generation=False,
    name_rule=_name,
)
