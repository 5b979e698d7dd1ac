"""ServiceAccount tokens against the objects they are bound to: made, and checked at each use."""

from __future__ import annotations

import base64
import hmac
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from sampan.api.meta import Json
from sampan.apiserver.authn.keys import SigningKey, VerifyingKey
from sampan.apiserver.authn.tokens import BadToken, issuer_of, sign, verify
from sampan.apiserver.authn.user import User, known, service_account_user
from sampan.apiserver.cacher.cacher import Cacher
from sampan.std.clock import Clock

EXTRA = "authentication.kubernetes.io/"
LEGACY_ISSUER = "kubernetes/serviceaccount"
"""Of tokens without end, which live in a Secret and as long as it."""
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
AUTO_GENERATED = (
    "Use tokens from the TokenRequest API or manually created secret-based tokens instead of "
    "auto-generated secret-based tokens."
)
"""Of a Secret that its account lists: such were made unasked once."""
VERIFIED_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Bound:
    """What a token is for: an account, and maybe the pod (with its node) or secret it ends with."""

    namespace: str
    account: str
    account_uid: str
    pod: tuple[str, str] | None = None
    secret: tuple[str, str] | None = None
    node: tuple[str, str] | None = None


class AccountTokens:
    """The issuer's side and the checking side of ServiceAccount tokens."""

    def __init__(self, key: SigningKey, issuer: str, cacher: Cacher, clock: Clock) -> None:
        self.key = key
        self.keys: dict[str, VerifyingKey] = {key.key_id: key}
        """All that tokens may be signed with."""
        self.issuer = issuer
        self.issuers = {issuer, LEGACY_ISSUER}
        """Whose tokens are taken."""
        self.audiences: tuple[str, ...] = (issuer,)
        self.on_secret_used: Callable[[str, str], None] = lambda namespace, name: None
        """Told of the Secret (namespace, name) whose token came."""
        self._clock = clock
        self._accounts = cacher.collection("", "serviceaccounts")
        self._pods = cacher.collection("", "pods")
        self._secrets = cacher.collection("", "secrets")
        self._nodes = cacher.collection("", "nodes")
        self._verified: dict[str, Json] = {}

    def issue(self, bound: Bound, audiences: tuple[str, ...], seconds: int) -> tuple[str, int]:
        """A token, and the second at which it expires."""
        now = int(self._clock.now())
        about: Json = {
            "namespace": bound.namespace,
            "serviceaccount": {"name": bound.account, "uid": bound.account_uid},
        }
        for kind in ("pod", "secret", "node"):
            ref = getattr(bound, kind)
            if ref is not None:
                about[kind] = {"name": ref[0], "uid": ref[1]}
        claims = {
            "aud": list(audiences), "exp": now + seconds, "iat": now, "iss": self.issuer,
            "jti": str(uuid.uuid4()), "kubernetes.io": about, "nbf": now,
            "sub": f"system:serviceaccount:{bound.namespace}:{bound.account}",
        }  # fmt: skip
        return sign(self.key, claims), now + seconds

    def ours(self, token: str) -> bool:
        return issuer_of(token) in self.issuers

    def user(self, token: str, warn: Callable[[str], None] = lambda text: None) -> User:
        """Raises BadToken when the token or what it is bound to is no longer good."""
        now = self._clock.now()
        claims = self._verified.get(token)
        if claims is None or now > float(claims.get("exp", now)):
            claims = verify(self.keys, token, now)
            if len(self._verified) >= VERIFIED_KEPT:
                self._verified.clear()
            self._verified[token] = claims
        if claims["iss"] == LEGACY_ISSUER:
            return self._legacy(token, claims, warn)
        return self._living(claims)

    def _legacy(self, token: str, claims: Json, warn: Callable[[str], None]) -> User:
        """A token out of a Secret is good for the account as long as the Secret holds it, and is
        not marked as invalid.
        """
        prefix = "kubernetes.io/serviceaccount"
        namespace = claims.get(f"{prefix}/namespace", "")
        name, uid = (claims.get(f"{prefix}/service-account.{key}", "") for key in ("name", "uid"))
        named = claims.get(f"{prefix}/secret.name", "")
        item = self._secrets.get(namespace, named)
        secret = item.decode() if item is not None else {}
        if not secret or secret["metadata"].get("deletionTimestamp"):
            raise BadToken("Token has been invalidated")
        held = (secret.get("data") or {}).get("token", "")
        if not hmac.compare_digest(base64.b64decode(held), token.encode()):
            raise BadToken("Token does not match server's copy")
        account = self._account(namespace, name, uid)
        self.on_secret_used(namespace, named)
        if (secret["metadata"].get("labels") or {}).get(INVALID_SINCE):
            raise BadToken(
                f"the token in secret {namespace}/{named} for service account {namespace}/{name} "
                "has been marked invalid. Use tokens from the TokenRequest API or manually created "
                f"secret-based tokens, or remove the '{INVALID_SINCE}' label from the secret to "
                "temporarily allow use of this token"
            )
        if any(ref.get("name") == named for ref in account.get("secrets") or ()):
            warn(AUTO_GENERATED)
        user = known(service_account_user(namespace, name, uid))
        return replace(user, audiences=self.audiences)

    def _account(self, namespace: str, name: str, uid: str) -> Json:
        item = self._accounts.get(namespace, name)
        if item is None:
            raise BadToken(f'serviceaccounts "{name}" not found')
        account = item.decode()
        if account["metadata"].get("uid") != uid:
            raise BadToken("the service account was deleted and made again")
        return account

    def _living(self, claims: Json) -> User:
        about = claims.get("kubernetes.io") or {}
        namespace, account = about.get("namespace", ""), about.get("serviceaccount") or {}
        name, uid = account.get("name", ""), account.get("uid", "")
        self._account(namespace, name, uid)
        extra = {EXTRA + "credential-id": (f"JTI={claims.get('jti', '')}",)}
        for kind, objects in (("pod", self._pods), ("secret", self._secrets)):
            ref = about.get(kind)
            if ref is None:
                continue
            found = objects.get(namespace, ref.get("name", ""))
            if found is None or found.decode()["metadata"].get("uid") != ref.get("uid"):
                raise BadToken(f"the {kind} that the token is bound to is gone")
            if kind == "pod":
                extra[EXTRA + "pod-name"] = (ref["name"],)
                extra[EXTRA + "pod-uid"] = (ref["uid"],)
        node = about.get("node")
        if node is not None:
            extra[EXTRA + "node-name"] = (node["name"],)
            if node.get("uid"):
                extra[EXTRA + "node-uid"] = (node["uid"],)
        user = known(service_account_user(namespace, name, uid))
        return replace(user, extra=extra, audiences=tuple(claims.get("aud") or ()))
