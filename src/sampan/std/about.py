"""`/statusz` and `/flagz`: what a component's process is and how it was started, for people; and as
JSON for those who ask for the kind.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.std.http import Request, Response

GROUP = "config.k8s.io"
VERSIONS = ("v1beta1", "v1alpha1")
TEXT = "text/plain; charset=utf-8"
WARNING = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting "
    "compatibility guarantees and is for debugging purposes only."
)


@dataclass(frozen=True, slots=True)
class About:
    """One process."""

    component: str = "kube-apiserver"
    version: str = ""
    started: float = 0.0
    flags: Mapping[str, str] = field(default_factory=dict)
    paths: Sequence[str] = ()
    now: Callable[[], float] = time.time

    def statusz(self, request: Request) -> Response:
        up_s = int(max(0.0, self.now() - self.started))
        wanted = _wanted(request, "Statusz")
        if wanted == "text":
            started = time.strftime("%a %b %d %H:%M:%S UTC %Y", time.gmtime(self.started))
            up = f"{up_s // 3600} hr {up_s // 60 % 60:02} min {up_s % 60:02} sec"
            rows = [
                f"Started: {started}", f"Up: {up}", f"Binary version: {self.version}",
                "Emulation version: 1.36", f"Paths: {' '.join(self.paths)}",
            ]  # fmt: skip
            return self._text("statusz", rows)
        return self._json(wanted, "Statusz", {
            "startTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "uptimeSeconds": up_s, "goVersion": "", "binaryVersion": self.version,
            "emulationVersion": "1.36", "paths": list(self.paths),
        })  # fmt: skip

    def flagz(self, request: Request) -> Response:
        wanted = _wanted(request, "Flagz")
        flags = dict(sorted(self.flags.items()))
        if wanted == "text":
            return self._text("flagz", [f"{name}={value}" for name, value in flags.items()])
        return self._json(wanted, "Flagz", {"flags": flags})

    def _text(self, page: str, rows: Sequence[str]) -> Response:
        body = f"\n{self.component} {page}\n{WARNING}\n\n" + "\n".join(rows) + "\n"
        return Response(200, {"content-type": TEXT}, body.encode())

    def _json(self, version: str, kind: str, fields: Mapping[str, Any]) -> Response:
        if not version:
            return Response(406, {"content-type": TEXT}, b"Not Acceptable\n")
        head = {"kind": kind, "apiVersion": f"{GROUP}/{version}"}
        whole = {**head, "metadata": {"name": self.component}, **fields}
        return Response(200, {"content-type": "application/json"}, json.dumps(whole).encode())


def _wanted(request: Request, kind: str) -> str:
    """`text`, a version of the kind, or nothing where neither is acceptable."""
    accept = request.headers.get("accept", "")
    for entry in filter(None, (part.strip() for part in accept.split(","))):
        media = entry.partition(";")[0].strip()
        if media in ("*/*", "text/*", "text/plain"):
            return "text"
        found = dict(re.findall(r";\s*(\w+)=([^;]+)", entry))
        named = (media, found.get("g"), found.get("as")) == ("application/json", GROUP, kind)
        if named and found.get("v") in VERSIONS:
            return str(found["v"])
    return "" if accept else "text"
