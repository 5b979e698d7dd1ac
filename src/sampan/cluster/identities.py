"""Tokens for the components that live in the API server's own process.

Made anew at each start and known only here; they pass the same authentication as any other token.
"""

from __future__ import annotations

import secrets

from sampan.apiserver.authn.static import StaticTokens
from sampan.apiserver.authn.user import AUTHENTICATED, User

SERVICE_ACCOUNTS = "system:serviceaccounts"


class Identities:
    """One token per user name."""

    def __init__(self) -> None:
        self.tokens = StaticTokens()
        self.made: dict[str, str] = {}

    def headers(self, user: str, *groups: str) -> dict[str, str]:
        """What a request of this user carries."""
        if user not in self.made:
            self.made[user] = secrets.token_urlsafe(24)
            every = (*groups, *self._account_groups(user), AUTHENTICATED)
            self.tokens.add(self.made[user], User(user, groups=every))
        return {"authorization": f"Bearer {self.made[user]}"}

    @staticmethod
    def _account_groups(user: str) -> tuple[str, ...]:
        """`system:serviceaccount:NAMESPACE:NAME` is in two groups."""
        parts = user.split(":")
        if parts[:2] == ["system", "serviceaccount"] and len(parts) == 4:
            return (SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{parts[2]}")
        return ()
