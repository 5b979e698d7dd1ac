"""A few questions to an etcd cluster, over its JSON gateway (v3): no other library is needed."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sampan.client.transport import Request, Response, Transport, Unreachable

TIMEOUT_S = 5.0
"""For a whole question, at however many endpoints."""
UNAUTHENTICATED = 401
OLD_REVISION = "revision of auth store is old"
NO_AUTH = "authentication is not enabled"


class Failure(Exception):
    """etcd does not answer, or holds something that is no service."""


class StaleToken(Failure):
    """The token is no longer known: its time is over, or etcd was started again."""


class Entry(NamedTuple):
    key: str
    value: bytes
    lease: int


class Etcd:
    """Asks the endpoint that answered last, and the others when it does not. Raises Failure."""

    def __init__(
        self, transports: Sequence[Transport], credentials: tuple[str, str] | None = None
    ) -> None:
        self.transports = list(transports)
        self.credentials = credentials
        self._token = ""

    async def get(self, key: str, *, below: bool = False) -> list[Entry]:
        body = {"key": _packed(key.encode())}
        if below:
            body["range_end"] = _packed(_after(key.encode()))
        found = await self._post("/v3/kv/range", body)
        return [
            Entry(
                base64.b64decode(item["key"]).decode("utf-8", "replace"),
                base64.b64decode(item.get("value", "")),
                int(item.get("lease", 0)),
            )
            for item in found.get("kvs", ())
        ]

    async def lease_left(self, lease: int) -> int:
        """Seconds that a lease has left; 0 when it is unknown, or cannot be asked for."""
        try:
            found = await self._post("/v3/lease/timetolive", {"ID": str(lease)})
        except Failure:
            return 0  # the record is true all the same
        return max(0, int(found.get("TTL", 0)))

    async def _post(self, path: str, body: Mapping[str, str]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._log_in()
                try:
                    return await self._ask(path, body)
                except StaleToken:
                    if not self.credentials:
                        raise
                self._token = ""
                await self._log_in()
                return await self._ask(path, body)
        except TimeoutError as late:
            raise Failure(f"etcd does not answer in {TIMEOUT_S:g} s") from late

    async def _log_in(self) -> None:
        if self.credentials is None or self._token:
            return
        name, password = self.credentials
        try:
            given = await self._ask("/v3/auth/authenticate", {"name": name, "password": password})
        except Failure as bad:
            # Credentials for an etcd that asks nobody for any do no harm.
            if NO_AUTH in str(bad):
                return
            raise
        self._token = str(given.get("token", ""))

    async def _ask(self, path: str, body: Mapping[str, str]) -> dict[str, Any]:
        headers = {"content-type": "application/json"}
        if self._token:
            headers["authorization"] = self._token
        request = Request("POST", path, "", headers, json.dumps(body).encode())
        why = "no endpoint"
        # Twice round: a connection that was kept may turn out to have ended meanwhile.
        for transport in self.transports * 2:
            try:
                status, content = await self._exchange(transport, request)
            except (Unreachable, TimeoutError) as bad:
                why = str(bad) or "no answer"
                continue
            if status == 200:
                self._prefer(transport)
                found: dict[str, Any] = json.loads(content)
                return found
            why = f"etcd answers {status}: {_message(content)}"
            if status == UNAUTHENTICATED or OLD_REVISION in why:
                raise StaleToken(why)
            if status < 500:
                raise Failure(why)
        raise Failure(why)

    async def _exchange(self, transport: Transport, request: Request) -> tuple[int, bytes]:
        share = TIMEOUT_S / (len(self.transports) + 1)
        async with asyncio.timeout(share):
            response: Response = await transport.request(request, timeout_s=share)
            return response.status, await response.read()

    def _prefer(self, transport: Transport) -> None:
        if self.transports[0] is not transport:
            self.transports.remove(transport)
            self.transports.insert(0, transport)

    async def close(self) -> None:
        for transport in self.transports:
            await transport.close()


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["message"])
    except (ValueError, LookupError, TypeError):
        return repr(content[:200])


def _packed(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _after(prefix: bytes) -> bytes:
    """The end of the range of keys with this prefix."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))
