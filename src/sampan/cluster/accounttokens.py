"""Tokens of service accounts for a part that runs alone: each controller acts with its own account
and rights, as `--use-service-account-credentials` asks for.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

from sampan.api import kinds
from sampan.api.errors import AlreadyExists, ApiError
from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.client.transport import Unreachable
from sampan.client.trouble import told
from sampan.std import log
from sampan.std.clock import Clock

NAMESPACE = "kube-system"
PREFIX = f"system:serviceaccount:{NAMESPACE}:"
LIFE_S = 3600
RENEW_AT = 0.8
"""Of a token's life."""
RETRY_S = 2.0
_LOG = log.get("accounttokens")


class AccountTokens:
    """`client_for` gives clients whose tokens `fetch` gets and `keep` renews."""

    def __init__(self, own: Client, clock: Clock) -> None:
        self._own = own
        self._clock = clock
        self._tokens: dict[str, str] = {}

    def client_for(self, user: str) -> Client:
        """The part's own client for anyone who is no account of kube-system."""
        if not user.startswith(PREFIX):
            return self._own
        account = user.removeprefix(PREFIX)
        self._tokens.setdefault(account, "")
        return Client(self._own.transport, user_agent=account, token=lambda: self._tokens[account])

    async def fetch(self) -> float:
        """New tokens for every account that was asked for; seconds until the next time. Raises
        ApiError, Unreachable.
        """
        lives = await asyncio.gather(*(self._one(account) for account in self._tokens))
        return min(lives, default=float(LIFE_S)) * RENEW_AT

    async def first(self) -> float:
        """The same at the start, where the server may not be up, or may not let us yet."""
        while True:
            try:
                return await self.fetch()
            except (ApiError, Unreachable) as error:
                if self._own.trouble.news(error, self._clock.monotonic()):
                    _LOG.error("cannot get the controllers' tokens", error=told(error))
                await self._clock.sleep(RETRY_S)

    async def keep(self, wait_s: float) -> None:
        """Renew for ever."""
        while True:
            await self._clock.sleep(wait_s)
            try:
                wait_s = await self.fetch()
            except (ApiError, Unreachable) as error:
                _LOG.warning("cannot renew", error=told(error))
                wait_s = 10.0

    async def _one(self, account: str) -> float:
        """Get one token; how many seconds it lives."""
        if await self._own.find(kinds.SERVICEACCOUNTS, account, NAMESPACE) is None:
            fresh: Json = {"metadata": {"name": account, "namespace": NAMESPACE}}
            try:
                await self._own.create(kinds.SERVICEACCOUNTS, fresh)
            except AlreadyExists:
                _LOG.debug("made meanwhile", account=account)
        request: Json = {"spec": {"expirationSeconds": LIFE_S}}
        answer = await self._own.create(
            kinds.SERVICEACCOUNTS, request, namespace=NAMESPACE, name=account, subresource="token"
        )
        status = answer["status"]
        self._tokens[account] = status["token"]
        ends = datetime.fromisoformat(status["expirationTimestamp"].replace("Z", "+00:00"))
        return max(60.0, ends.timestamp() - self._clock.now())
