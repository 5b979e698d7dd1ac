"""A whole API server in memory, with a clock that stands still, and a way to ask it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from sampan.api.meta import Json
from sampan.apiserver.assemble import ApiServer, Options, assemble
from sampan.apiserver.authn.keys import SigningKey, load_key
from sampan.apiserver.authn.static import StaticTokens
from sampan.apiserver.authn.user import User
from sampan.apiserver.bootstrap import Cluster
from sampan.cluster.pki import key_pem, new_key
from sampan.resources.catalog import CATALOG
from sampan.std.http import Request, Response
from sampan.store.memory import MemoryStore

ADMIN, NOBODY_SPECIAL = "admin", "alice"
CLUSTER = Cluster(
    ("10.96.0.0/16", "fd00:96::/112"), ("10.96.0.1", "fd00:96::1"), ("192.0.2.1",), 6443
)


class StillClock:
    """Time passes when the test says so; sleeping takes no time but lets others run."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@dataclass
class Asker:
    """Sends requests to a server in memory."""

    api: ApiServer
    clock: StillClock
    token: str = ADMIN
    tokens: StaticTokens = field(default_factory=StaticTokens)

    async def raw(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        type: str = "application/json",
        token: str | None = None,
        **headers: str,
    ) -> Response:
        where, _, query = path.partition("?")
        sent = body if isinstance(body, bytes) else orjson.dumps(body) if body is not None else b""
        full = {"content-type": type, "user-agent": "test/1"}
        full |= {key.replace("_", "-"): value for key, value in headers.items()}
        chosen = self.token if token is None else token
        if chosen:
            full["authorization"] = f"Bearer {chosen}"
        return await self.api.app.handle(Request(method, where, query, full, sent))

    async def ask(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, Json]:
        response = await self.raw(method, path, body, **more)
        content = await response.read()
        json = "json" in response.headers.get("content-type", "")
        return response.status, orjson.loads(content) if json and content else {}

    async def make(self, path: str, body: Json) -> Json:
        status, obj = await self.ask("POST", path, body)
        assert status == 201, obj
        return obj

    async def namespace(self, name: str) -> None:
        await self.make("/api/v1/namespaces", {"metadata": {"name": name}})
        account = {"metadata": {"name": "default"}}
        await self.make(f"/api/v1/namespaces/{name}/serviceaccounts", account)


@pytest.fixture(scope="session")
def signing_key() -> SigningKey:
    return load_key(key_pem(new_key()))


@pytest.fixture
async def server(signing_key: SigningKey) -> AsyncIterator[Asker]:
    clock = StillClock()
    tokens = StaticTokens()
    tokens.add(ADMIN, User("root", groups=("system:masters",)))
    tokens.add(NOBODY_SPECIAL, User("alice"))
    tokens.add("node", User("system:node:n1", groups=("system:nodes",)))
    options = Options(CLUSTER, tokens=tokens, enable_admission=("NodeRestriction",))
    api = await assemble(MemoryStore(), CATALOG, signing_key, options, clock)
    running = asyncio.create_task(api.custom.run())
    try:
        yield Asker(api, clock, tokens=tokens)
    finally:
        for task in (running, api.follower):
            assert task is not None
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def pod(name: str, **spec: Any) -> Json:
    """A pod that admission and validation are happy with."""
    return {
        "metadata": {"name": name},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "c", "image": "x:1"}],
            **spec,
        },
    }
