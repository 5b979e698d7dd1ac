"""/healthz, /livez and /readyz: named checks, verbose or one by one, and /version."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping

from sampan.api.meta import Json
from sampan.apiserver.answers import page_not_found, text_answer
from sampan.apiserver.options import read_query
from sampan.std import log
from sampan.std.http import Request, Response

Check = Callable[[], str]
"""Empty when all is well, else what is wrong."""

ENDPOINTS = ("healthz", "livez", "readyz")
READINESS = frozenset({"etcd-readiness", "informer-sync", "shutdown"})
"""Checks of /readyz alone: a server that fails them should get no requests, not be killed."""
_LOG = log.get("health")
MINOR = "36"


def answer_health(request: Request, checks: Mapping[str, Check]) -> Response | None:
    """None when the path is not about health."""
    parts = request.path.strip("/").split("/", 1)
    endpoint = parts[0]
    if endpoint not in ENDPOINTS:
        return None
    if endpoint != "readyz":
        checks = {name: check for name, check in checks.items() if name not in READINESS}
    if len(parts) == 2:
        return _single(checks, parts[1])
    return _all(endpoint, request.query, checks)


def _single(checks: Mapping[str, Check], name: str) -> Response:
    check = checks.get(name)
    if check is None:
        return page_not_found()
    complaint = check()
    if complaint:
        return text_answer(f"internal server error: {complaint}\n", 500)
    response = text_answer("ok")
    del response.headers["x-content-type-options"]
    return response


def _all(endpoint: str, query: str, checks: Mapping[str, Check]) -> Response:
    options = read_query(query)
    excluded = set(options.get("exclude", ()))
    lines = []
    failed = []
    for name, check in checks.items():
        if name in excluded:
            excluded.discard(name)
            lines.append(f"[+]{name} excluded: ok\n")
        elif complaint := check():
            failed.append(name)
            lines.append(f"[-]{name} failed: reason withheld\n")
            _LOG.warning("check failed", check=f"{endpoint}/{name}", why=complaint)
        else:
            lines.append(f"[+]{name} ok\n")
    text = "".join(lines)
    if excluded:
        listed = ", ".join(f'"{name}"' for name in sorted(excluded))
        text += f"warn: some health checks cannot be excluded: no matches for {listed}\n"
    if failed:
        return text_answer(f"{text}{endpoint} check failed\n", 500)
    if "verbose" not in options:
        return text_answer("ok")
    return text_answer(f"{text}{endpoint} check passed\n")


def version(program: str) -> Json:
    """/version: the API level that we serve, and who we are."""
    return {
        "major": "1", "minor": MINOR, "emulationMajor": "1", "emulationMinor": MINOR,
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
        "gitVersion": f"v1.{MINOR}.0+sampan.{program}", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "",
        "platform": f"linux/{_machine()}",
    }  # fmt: skip


def _machine() -> str:
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
