"""The pages of the metrics port: figures, mode, configuration, and what this process is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from sampan import __version__
from sampan.api.meta import Json
from sampan.proxy.config import GROUP
from sampan.proxy.health import JSON, not_found, text
from sampan.std.http import Handler, Request, Response
from sampan.std.metrics import CONTENT_TYPE, Registry


def metrics_pages(registry: Registry, config: Json, started: float) -> Handler:
    """The handler of the metrics port; `started` is when the process began."""
    pages: dict[str, Callable[[], Response]] = {
        "/healthz": lambda: text("ok"),
        "/proxyMode": lambda: text(config["mode"]),
        "/metrics": lambda: Response(
            200, {"Content-Type": CONTENT_TYPE}, registry.render().encode()
        ),
        "/configz": lambda: Response(200, dict(JSON), json.dumps({GROUP: config}).encode()),
        "/statusz": lambda: _plain(_status(started)),
        "/flagz": lambda: _plain(_flags(config)),
    }

    async def handle(request: Request) -> Response:
        page = pages.get(request.path)
        return page() if page else not_found()

    return handle


def _plain(body: str) -> Response:
    return Response(200, {"Content-Type": "text/plain; charset=utf-8"}, body.encode())


def _status(started: float) -> str:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started))
    return (
        "kube-proxy statusz\n"
        "Warning: This endpoint is not meant to be machine parseable, and is for debugging.\n\n"
        f"Started: {since}\nUp: {int(time.time() - started)} s\nSampan version: {__version__}\n"
        "Paths: /configz /healthz /metrics /proxyMode\n"
    )


def _flags(config: Json) -> str:
    rows = "\n".join(f"{path}={value}" for path, value in sorted(_leaves(config, "")))
    return (
        "kube-proxy flagz\n"
        "Warning: This endpoint is not meant to be machine parseable, and is for debugging.\n\n"
        f"{rows}\n"
    )


def _leaves(tree: Json, path: str) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            found += _leaves(value, f"{path}{key}.")
        else:
            found.append((path + key, value))
    return found
