"""Bootstrap tokens: `id.secret`, kept as Secrets in kube-system, for nodes about to join."""

from __future__ import annotations

import base64
import hmac
import re
from datetime import UTC, datetime

from sampan.apiserver.authn.user import BOOTSTRAPPERS, User, known
from sampan.apiserver.cacher.cacher import Cacher
from sampan.std.clock import Clock

_FORM = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")
_TYPE = "bootstrap.kubernetes.io/token"


class BootstrapTokens:
    def __init__(self, cacher: Cacher, clock: Clock) -> None:
        self._secrets = cacher.collection("", "secrets")
        self._clock = clock

    def user(self, token: str) -> User | None:
        form = _FORM.fullmatch(token)
        if form is None:
            return None
        item = self._secrets.get("kube-system", f"bootstrap-token-{form[1]}")
        secret = item.decode() if item is not None else {}
        if secret.get("type") != _TYPE or secret["metadata"].get("deletionTimestamp"):
            return None
        data = {k: base64.b64decode(v).decode() for k, v in (secret.get("data") or {}).items()}
        named = [g.strip() for g in data.get("auth-extra-groups", "").split(",") if g.strip()]
        good = (
            hmac.compare_digest(data.get("token-secret", ""), form[2])
            and data.get("token-id") == form[1]
            and data.get("usage-bootstrap-authentication") == "true"
            and not self._expired(data.get("expiration", ""))
            and all(_GROUP.fullmatch(group) for group in named)
        )
        if not good:
            return None
        return known(User(f"system:bootstrap:{form[1]}", groups=(BOOTSTRAPPERS, *sorted(named))))

    def _expired(self, text: str) -> bool:
        if not text:
            return False
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            return True
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return when.timestamp() < self._clock.now()
