"""The chain: certificate, bearer token, anonymous."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sampan.api.errors import Unauthorized
from sampan.apiserver.authn import certificate
from sampan.apiserver.authn.accounts import AccountTokens
from sampan.apiserver.authn.bootstrap import BootstrapTokens
from sampan.apiserver.authn.static import StaticTokens
from sampan.apiserver.authn.tokens import BadToken
from sampan.apiserver.authn.user import NOBODY, User
from sampan.std.http import Request

INVALID_TOKEN = "invalid bearer token"
EXTRA_SPACE = (
    "the provided Authorization header contains extra space before the bearer token, and is ignored"
)


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
                return self.of_token(parts[1], self.accounts.audiences, warn)
            warn(EXTRA_SPACE)
        if token := websocket_token(request):
            return self.of_token(token, self.accounts.audiences, warn)
        if not self.anonymous:
            raise Unauthorized("Unauthorized")
        return NOBODY

    def of_token(
        self,
        token: str,
        audiences: tuple[str, ...],
        warn: Callable[[str], None] = lambda text: None,
    ) -> User:
        """Raises Unauthorized. Only ServiceAccount tokens have audiences of their own; the others
        are for this server alone.
        """
        if self.accounts.ours(token):
            try:
                user = self.accounts.user(token, warn)
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


def _quoted(values: tuple[str, ...]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
