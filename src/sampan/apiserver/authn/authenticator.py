"""The chain: certificate, bearer token, anonymous; and impersonation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import unquote

from sampan.api.errors import InternalError, Unauthorized
from sampan.apiserver.authn import certificate
from sampan.apiserver.authn.accounts import AccountTokens
from sampan.apiserver.authn.bootstrap import BootstrapTokens
from sampan.apiserver.authn.static import StaticTokens
from sampan.apiserver.authn.tokens import BadToken
from sampan.apiserver.authn.user import (
    ANONYMOUS,
    NOBODY,
    User,
    known,
    service_account_user,
    split_service_account,
)
from sampan.std.http import Request

INVALID_TOKEN = "invalid bearer token"
EXTRA_SPACE = (
    "the provided Authorization header contains extra space before the bearer token, and is ignored"
)
EXTRA_PREFIX = "impersonate-extra-"


class Authenticator:
    """`authenticate` for requests, `review` for TokenReview."""

    def __init__(
        self,
        static: StaticTokens,
        accounts: AccountTokens,
        bootstrap: BootstrapTokens | None,
        *,
        anonymous: bool = True,
    ) -> None:
        self.static = static
        self.accounts = accounts
        self.bootstrap = bootstrap
        self.anonymous = anonymous

    def authenticate(self, request: Request, warn: Callable[[str], None]) -> User:
        """Raises Unauthorized; a credential that is no good never falls back to anonymous."""
        if request.certificate is not None:
            user = certificate.user_of(request.certificate)
            if user is not None:
                return user
        header = request.headers.get("authorization", "")
        parts = header.strip().split(" ", 2)
        if len(parts) > 1 and parts[0].lower() == "bearer":
            if parts[1]:
                return self.of_token(parts[1], self.accounts.audiences)
            warn(EXTRA_SPACE)
        if token := websocket_token(request):
            return self.of_token(token, self.accounts.audiences)
        if not self.anonymous:
            raise Unauthorized("Unauthorized")
        return NOBODY

    def of_token(self, token: str, audiences: tuple[str, ...]) -> User:
        """Raises Unauthorized. Only ServiceAccount tokens have audiences of their own; the others
        are for this server alone.
        """
        if self.accounts.ours(token):
            try:
                user = self.accounts.user(token)
            except BadToken as error:
                raise Unauthorized("Unauthorized") from error
            if not set(user.audiences) & set(audiences):
                raise Unauthorized("Unauthorized")
            return user
        found = self.static.user(token)
        if found is None and self.bootstrap is not None:
            found = self.bootstrap.user(token)
        if found is None or not set(self.accounts.audiences) & set(audiences):
            raise Unauthorized("Unauthorized")
        return found

    def review(self, token: str, audiences: tuple[str, ...]) -> tuple[User | None, str]:
        """The user behind a token, or the complaint that TokenReview shows."""
        wanted = audiences or self.accounts.audiences
        try:
            user = self.of_token(token, wanted)
        except Unauthorized:
            return None, self._complaint(token, wanted)
        held = user.audiences or self.accounts.audiences
        return replace(user, audiences=tuple(a for a in wanted if a in held)), ""

    def _complaint(self, token: str, wanted: tuple[str, ...]) -> str:
        if not self.accounts.ours(token):
            return INVALID_TOKEN
        try:
            has = self.accounts.user(token).audiences
        except BadToken as error:
            return f"[{INVALID_TOKEN}, {error}]"
        return (
            f"[{INVALID_TOKEN}, token audiences {_quoted(has)} is invalid for the target "
            f"audiences {_quoted(wanted)}]"
        )


def websocket_token(request: Request) -> str:
    """Browsers cannot set headers on WebSockets: the token may hide in the subprotocol."""
    from sampan.apiserver.authn.keys import decode

    prefix = "base64url.bearer.authorization.k8s.io."
    for protocol in request.headers.get("sec-websocket-protocol", "").split(","):
        name = protocol.strip()
        if name.startswith(prefix):
            try:
                return decode(name.removeprefix(prefix)).decode()
            except ValueError:
                return ""
    return ""


Check = Callable[[User, str, str, str, str, str], None]
"""(asker, group, resource, subresource, namespace, name): may they impersonate that? Raises."""


def impersonated(request: Request, asker: User, allowed: Check) -> User:
    """Whom the request is to be done as; the asker where no header says otherwise."""
    headers = request.headers
    if not any(key.startswith("impersonate-") for key in headers):
        return asker
    name = headers.get("impersonate-user", "")
    groups = tuple(g.strip() for g in headers.get("impersonate-group", "").split(",") if g.strip())
    uid = headers.get("impersonate-uid", "")
    extra = {
        unquote(key.removeprefix(EXTRA_PREFIX)): tuple(v.strip() for v in value.split(","))
        for key, value in headers.items()
        if key.startswith(EXTRA_PREFIX)
    }
    if not name:
        if groups or uid or extra:
            raise InternalError("requested impersonation without impersonating a user")
        return asker
    account = split_service_account(name)
    if account is not None:
        allowed(asker, "", "serviceaccounts", "", account[0], account[1])
    else:
        allowed(asker, "", "users", "", "", name)
    for group in groups:
        allowed(asker, "", "groups", "", "", group)
    if uid:
        allowed(asker, "authentication.k8s.io", "uids", "", "", uid)
    for key, values in extra.items():
        for value in values:
            allowed(asker, "authentication.k8s.io", "userextras", key, "", value)
    if account is not None and not groups:
        groups = service_account_user(*account).groups
    user = User(name, uid, groups, extra)
    return NOBODY if name == ANONYMOUS and not groups else known(user)


def _quoted(values: tuple[str, ...]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
