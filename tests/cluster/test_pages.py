"""The pages of a part that runs alone, and who may see which."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sampan.client.client import Client
from sampan.client.delegation import Delegation
from sampan.client.kubeconfig import Connection
from sampan.cluster.parts.pages import BadPort, Pages, Serving, guarded
from sampan.std.clock import SystemClock
from sampan.std.http import Request, Response
from sampan.std.metrics import Registry

USERS = {"m": ("monitor", []), "a": ("admin", ["system:masters"]), "n": ("nobody", [])}
SERVING = Serving(flags={"v": "2"})


class Reviews:
    """An API server that knows three tokens, and lets the monitor see what is to be watched."""

    async def request(self, request: Request, *, timeout_s: float = 30) -> Response:
        import orjson

        body = orjson.loads(request.body)
        spec = body["spec"]
        if body["kind"] == "TokenReview":
            name, groups = USERS.get(spec["token"], ("", []))
            status = {"authenticated": bool(name), "user": {"username": name, "groups": groups}}
        else:
            status = {"allowed": spec["user"] == "monitor", "reason": ""}
            assert spec["nonResourceAttributes"]["verb"] == "get"
        return Response(201, {}, orjson.dumps({**body, "status": status}))

    async def close(self) -> None: ...


def pages(serving: Serving = SERVING, ill: str = "") -> Pages:
    return Pages(
        "kube-x", Registry(), serving, Connection("https://x"), SystemClock(),
        {"x.k8s.io": {"kind": "X"}}, {"leaderElection": lambda: ill},
    )  # fmt: skip


async def status(path: str, token: str = "", serving: Serving = SERVING) -> int:
    client = Client(Reviews())
    made = pages(serving)
    handle = guarded(made.page, Delegation(client, client, SystemClock()), serving.open_paths)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return (await handle(Request("GET", path, headers=headers))).status


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
async def test_health_is_for_everybody(path: str) -> None:
    assert await status(path) == 200
    assert await status(path, "wrong") == 200


@pytest.mark.parametrize("path", ["/metrics", "/configz", "/flagz", "/statusz", "/healthz/ping"])
async def test_the_rest_is_for_whom_the_server_allows_it(path: str) -> None:
    assert await status(path) == 403
    assert await status(path, "wrong") == 401
    assert await status(path, "n") == 403
    assert await status(path, "m") == 200
    assert await status(path, "a") == 200


async def test_paths_can_be_opened() -> None:
    serving = replace(SERVING, open_paths=("/metrics", "/health*"))
    assert await status("/metrics", serving=serving) == 200
    assert await status("/healthz/ping", serving=serving) == 200
    assert await status("/configz", serving=serving) == 403


async def test_checks_are_told_one_by_one_and_together() -> None:
    async def text(made: Pages, path: str, query: str = "") -> tuple[int, str]:
        answer = await made.page(Request("GET", path, query))
        return answer.status, (await answer.read()).decode()

    well, ill = pages(), pages(ill="not renewed")
    assert await text(well, "/healthz") == (200, "ok")
    assert await text(well, "/healthz", "verbose") == (
        200, "[+]ping ok\n[+]leaderElection ok\nhealthz check passed\n",
    )  # fmt: skip
    assert (await text(well, "/readyz/nothing"))[0] == 404
    assert await text(ill, "/livez") == (
        500, "[+]ping ok\n[-]leaderElection failed: reason withheld\nlivez check failed\n",
    )  # fmt: skip
    assert await text(ill, "/livez/leaderElection") == (500, "internal server error: not renewed\n")


async def test_a_certificate_without_its_key_is_named() -> None:
    serving = Serving(secure_port=1, bind_address="127.0.0.1", cert_file="/absent")
    with pytest.raises(BadPort, match="go together"):
        await pages(serving).open()
