"""Continue tokens of lists: a revision and the last key, in upstream's form and with its checks."""

from __future__ import annotations

import base64
import posixpath
import re

import orjson

from sampan.api.body import syntax_error
from sampan.api.errors import BadRequest
from sampan.apiserver.options import ListOptions

VERSION = "meta.k8s.io/v1"
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")


def write(revision: int, namespace: str, name: str) -> str:
    start = f"{namespace}/{name}\0" if namespace else f"{name}\0"
    token = {"v": VERSION, "rv": revision, "start": start}
    return base64.urlsafe_b64encode(orjson.dumps(token)).rstrip(b"=").decode()


def read(options: ListOptions) -> tuple[int, tuple[str, str]]:
    """Revision (-1: whatever is now) and the last key. Raises BadRequest."""
    if options.version and options.version != "0":
        raise BadRequest("specifying resource version is not allowed when using continue")
    raw = _decoded(options.resume)
    try:
        token = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _invalid(f": {syntax_error(raw, error.pos)}") from error
    if not isinstance(token, dict):
        token = {}
    version, revision, start = token.get("v") or "", token.get("rv") or 0, token.get("start") or ""
    if version != VERSION:
        raise _invalid(f": server does not recognize this encoded version {version}")
    if not isinstance(revision, int) or not revision:
        raise _invalid(f": incorrect encoded start resourceVersion (version {VERSION})")
    if not isinstance(start, str) or not start:
        raise _invalid(f": encoded start key empty (version {VERSION})")
    absolute = "/" + start.removeprefix("/")
    if posixpath.normpath(absolute) != absolute:
        raise _invalid(f": {start}")
    namespace, _, name = start.removesuffix("\0").rpartition("/")
    return revision, (namespace, name)


def _decoded(text: str) -> bytes:
    wrong = _ILLEGAL.search(text)
    if wrong or len(text) % 4 == 1:
        place = wrong.start() if wrong else len(text) - 1
        raise _invalid(f": illegal base64 data at input byte {place}")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _invalid(why: str) -> BadRequest:
    return BadRequest(f"invalid continue token: continue key is not valid{why}")
