"""Certificate requests: kubelets' are approved, approved ones are signed, old ones are removed."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sampan.api import kinds
from sampan.api.errors import ApiError, NotFound
from sampan.api.meta import Json, Key
from sampan.client.transport import Unreachable
from sampan.controllers.deps import Deps, Settings
from sampan.controllers.pods import condition
from sampan.controllers.signer_rules import CLIENT, KUBELET_CLIENT, KUBELET_SERVING, Asked, problem
from sampan.controllers.stamps import created, seconds, stamp
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller
from sampan.std import log

if TYPE_CHECKING:
    from cryptography import x509

ACCOUNT = "certificate-controller"
SIGNED = (KUBELET_CLIENT, KUBELET_SERVING, CLIENT, "kubernetes.io/legacy-unknown")
BACKDATE = timedelta(minutes=5)
CLEAN_PERIOD_S = 3600.0
LIVES_S = (("Approved", 3600.0), ("Denied", 3600.0), ("Failed", 3600.0), ("", 24 * 3600.0))
"""How long a request is kept, by its outcome."""
_LOG = log.get("certificates")


def approving(deps: Deps) -> Component:
    reconciler = Approving(deps)
    return Controller(reconciler, reconciler.queue, workers=2, wait_for=(reconciler.requests,))


def signing(deps: Deps) -> Component:
    reconciler = Signing(deps)
    return Controller(reconciler, reconciler.queue, workers=2, wait_for=(reconciler.requests,))


def cleaning(deps: Deps) -> Component:
    return Cleaner(deps)


class Approving:
    """The reconciler that says yes to kubelets that may ask; keys are names of requests."""

    name = "certificatesigningrequest-approving"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[str] = Queue(deps.clock)
        self._clock = deps.clock
        self._client = deps.client_of(ACCOUNT)
        self.requests = deps.informers.of(kinds.CERTIFICATESIGNINGREQUESTS)
        self.requests.on_change(lambda old, new: _wake(self.queue, new))

    async def reconcile(self, key: str) -> float | None:
        request = self.requests.get(Key("", key))
        if request is None or request["spec"]["signerName"] != KUBELET_CLIENT:
            return None
        if condition(request, "Approved") or condition(request, "Denied"):
            return None
        asked = _asked(request)
        usages = list(request["spec"].get("usages") or ())
        if asked is None or problem(KUBELET_CLIENT, asked, usages):
            return None
        own = request["spec"].get("username") == asked.name
        kind, text = (
            ("selfnodeclient", "Auto approving self kubelet client certificate after "
                               "SubjectAccessReview."),
            ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
        )[0 if own else 1]  # fmt: skip
        if await self._may(request["spec"], kind):
            await self._approve(request, text)
        return None

    async def _may(self, spec: Json, subresource: str) -> bool:
        review: Json = {
            "spec": {
                "user": spec.get("username", ""),
                "uid": spec.get("uid", ""),
                "groups": spec.get("groups") or [],
                "extra": spec.get("extra") or {},
                "resourceAttributes": {
                    "group": "certificates.k8s.io",
                    "resource": "certificatesigningrequests",
                    "verb": "create",
                    "subresource": subresource,
                },
            }
        }
        answer = await self._client.create(kinds.SUBJECTACCESSREVIEWS, review)
        return bool((answer.get("status") or {}).get("allowed"))

    async def _approve(self, request: Json, text: str) -> None:
        now = stamp(self._clock.now())
        fresh: Json = {
            "type": "Approved",
            "status": "True",
            "reason": "AutoApproved",
            "message": text,
            "lastUpdateTime": now,
            "lastTransitionTime": now,
        }
        status = request.get("status") or {}
        known = status.get("conditions") or []
        wished = {**request, "status": {**status, "conditions": [*known, fresh]}}
        await self._client.update(kinds.CERTIFICATESIGNINGREQUESTS, wished, subresource="approval")


class Signing:
    """The reconciler that signs what was approved."""

    name = "certificatesigningrequest-signing"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[str] = Queue(deps.clock)
        self._clock = deps.clock
        self._settings = deps.settings
        self._client = deps.client_of(ACCOUNT)
        self.requests = deps.informers.of(kinds.CERTIFICATESIGNINGREQUESTS)
        self.requests.on_change(lambda old, new: _wake(self.queue, new))

    async def reconcile(self, key: str) -> float | None:
        request = self.requests.get(Key("", key))
        if request is None or not self._settings.signing_key:
            return None
        if request["spec"]["signerName"] not in SIGNED or not _is_waiting(request):
            return None
        status = dict(request.get("status") or {})
        try:
            pem = signed(request, self._settings, self._clock.now())
        except ValueError as error:
            now = stamp(self._clock.now())
            failure = {"type": "Failed", "status": "True", "reason": "SignerValidationFailure",
                       "message": str(error), "lastUpdateTime": now,
                       "lastTransitionTime": now}  # fmt: skip
            status["conditions"] = [*(status.get("conditions") or ()), failure]
        else:
            status["certificate"] = base64.b64encode(pem).decode()
        try:
            wished = {**request, "status": status}
            await self._client.update(
                kinds.CERTIFICATESIGNINGREQUESTS, wished, subresource="status"
            )
        except NotFound:
            return None
        return None


class Cleaner:
    """A component that removes old requests."""

    name = "certificatesigningrequest-cleaner"

    def __init__(self, deps: Deps) -> None:
        self._clock = deps.clock
        self._client = deps.client_of(ACCOUNT)
        self.requests = deps.informers.of(kinds.CERTIFICATESIGNINGREQUESTS)

    async def run(self, started: Callable[[], None]) -> None:
        await self.requests.synced.wait()
        started()
        while True:
            await self._clock.sleep(CLEAN_PERIOD_S)
            old = [r for r in self.requests.items() if is_old(r, self._clock.now())]
            deleting = (
                self._client.delete(kinds.CERTIFICATESIGNINGREQUESTS, r["metadata"]["name"])
                for r in old
            )
            results = await asyncio.gather(*deleting, return_exceptions=True)
            for result in results:
                if isinstance(result, (ApiError, Unreachable)):
                    _LOG.warning("cannot remove an old request", error=result)


def is_old(request: Json, now: float) -> bool:
    for kind, life in LIVES_S:
        found = condition(request, kind) if kind else None
        since = seconds((found or {}).get("lastUpdateTime")) if kind else created(request)
        if since and now - since > life:
            return True
    return False


def signed(request: Json, settings: Settings, now: float) -> bytes:
    """The certificate, in PEM. Raises ValueError for a request that no certificate fits."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    asked = _parsed(request)
    usages = list(request["spec"].get("usages") or ())
    why = problem(request["spec"]["signerName"], Asked.of(asked), usages)
    if why:
        raise ValueError(why)
    authority = x509.load_pem_x509_certificate(settings.signing_cert)
    key = serialization.load_pem_private_key(settings.signing_key, None)
    start = datetime.fromtimestamp(now, tz=UTC) - BACKDATE
    wish = request["spec"].get("expirationSeconds")
    life = min(float(wish), settings.signing_duration_s) if wish else settings.signing_duration_s
    end = min(start + timedelta(seconds=life), authority.not_valid_after_utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(asked.subject)
        .issuer_name(authority.subject)
        .public_key(asked.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    for extension in _usages(usages):
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.KeyUsage))
    for extension in asked.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            builder = builder.add_extension(extension.value, critical=False)
    certificate = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]
    return certificate.public_bytes(serialization.Encoding.PEM)


def _usages(names: Iterable[str]) -> list[x509.KeyUsage | x509.ExtendedKeyUsage]:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    wanted = set(names)
    extended = [
        oid
        for name, oid in (
            ("client auth", ExtendedKeyUsageOID.CLIENT_AUTH),
            ("server auth", ExtendedKeyUsageOID.SERVER_AUTH),
        )
        if name in wanted
    ]
    key_usage = x509.KeyUsage(
        digital_signature="digital signature" in wanted,
        content_commitment=False,
        key_encipherment="key encipherment" in wanted,
        data_encipherment=False,
        key_agreement="key agreement" in wanted,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return [key_usage, *([x509.ExtendedKeyUsage(extended)] if extended else [])]


def _parsed(request: Json) -> x509.CertificateSigningRequest:
    from cryptography import x509

    asked = x509.load_pem_x509_csr(base64.b64decode(request["spec"]["request"]))
    if not asked.is_signature_valid:
        raise ValueError("the request is not signed by its own key")
    return asked


def _asked(request: Json) -> Asked | None:
    """None for what is no request."""
    try:
        return Asked.of(_parsed(request))
    except ValueError:
        return None


def _is_waiting(request: Json) -> bool:
    """Approved, neither denied nor failed, and without a certificate."""
    if (request.get("status") or {}).get("certificate"):
        return False
    bad = condition(request, "Denied") or condition(request, "Failed")
    return condition(request, "Approved") is not None and not bad


def _wake(queue: Queue[str], request: Json | None) -> None:
    if request is not None:
        queue.add(request["metadata"]["name"])
