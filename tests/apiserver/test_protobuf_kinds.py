"""Every built-in kind that can be made, sent and read back in protobuf: the same object as in JSON.

The kinds are those of the facts tables; the objects are what the recorded cases made.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sampan.api import facts, schema
from sampan.api.decode import normal
from sampan.api.protobuf import decode_request, encode_object

if TYPE_CHECKING:
    from sampan.api.meta import Json
    from tests.apiserver.conftest import Asker

RECORDED = Path(__file__).parents[1] / "recorded" / "api"
PROTOBUF = "application/vnd.kubernetes.protobuf"
NAMESPACE = "x"


def creatable() -> list[tuple[str, str, str, str, bool]]:
    """Group, version, plural, kind, namespaced: of every row whose objects can be posted."""
    return [
        ("" if group == "core" else group, version, plural, kind, scope == "Namespaced")
        for group, version, plural, kind, scope, *_, verbs in facts.load("resources")
        if "create" in verbs.split(",") and "/" not in plural and plural != "bindings"
    ]


@cache
def recorded() -> dict[str, list[Json]]:
    """Path -> the objects that were made there."""
    found: dict[str, list[Json]] = {}
    for path in sorted(RECORDED.rglob("*.yaml")):
        text = path.read_text().replace("${ns}", NAMESPACE)
        for step in yaml.load(text, yaml.CSafeLoader)["steps"]:
            method, _, where = str(step.get("do", "")).partition(" ")
            made = (step.get("expect") or {}).get("status") == 201
            if method == "POST" and made and isinstance(step.get("body"), dict):
                plain = json.loads(json.dumps(step["body"], default=str))
                found.setdefault(where.partition("?")[0], []).append(plain)
    return found


def plain(obj: Json) -> Any:
    """Without what differs from one making to the next."""
    text = json.dumps({**obj, "metadata": without(obj.get("metadata") or {})}, sort_keys=True)
    return json.loads(text)


def without(meta: Json) -> Json:
    dropped = ("uid", "creationTimestamp", "resourceVersion", "managedFields", "name")
    return {key: value for key, value in meta.items() if key not in dropped}


@pytest.mark.parametrize(
    ("group", "version", "plural", "kind", "namespaced"),
    creatable(),
    ids=lambda value: str(value),
)
async def test_a_kind_comes_and_goes_in_protobuf(
    server: Asker, group: str, version: str, plural: str, kind: str, namespaced: bool
) -> None:
    await server.namespace(NAMESPACE)
    api_version = f"{group}/{version}" if group else version
    root = f"/apis/{api_version}" if group else f"/api/{version}"
    path = f"{root}/namespaces/{NAMESPACE}/{plural}" if namespaced else f"{root}/{plural}"
    known = schema.by_gvk(group, version, kind)
    assert known is not None
    tried = 0
    for sample in recorded().get(path, ())[:6]:
        body = {**sample, "apiVersion": api_version, "kind": kind}
        status, wanted = await server.ask("POST", f"{path}?dryRun=All", body)
        if status != 201:
            continue  # it needs something that its case made before
        tried += 1
        sent = encode_object(body)
        answer = await server.raw("POST", path, sent, type=PROTOBUF, accept=PROTOBUF)
        data = await answer.read()
        assert answer.status == 201, data
        assert answer.headers["content-type"] == PROTOBUF
        made = normal(decode_request(data, api_version, kind), known.name)
        await compare(server, (path, wanted, made), known.name)
    assert tried, f"no recorded object of {kind} can be made alone"


async def compare(server: Asker, case: tuple[str, Json, Json], name: str) -> None:
    """What was answered, and what is read of it in both forms."""
    path, wanted, made = case
    random = ("spec.clusterIP", "kube-api-access", "controller-uid", "clusterIP", "nodePort")
    if not any(word in json.dumps(wanted) for word in random):
        assert plain(made) == plain(normal(wanted, name))
    where = f"{path}/{made['metadata'].get('name', '')}"
    status, stored = await server.ask("GET", where)
    if status in (404, 405):
        return  # a review: nothing is kept
    answer = await server.raw("GET", where, accept=PROTOBUF)
    again = decode_request(await answer.read(), made["apiVersion"], made["kind"])
    assert (answer.status, normal(again, name)) == (200, normal(stored, name))
    assert made["metadata"]["uid"] == stored["metadata"]["uid"]
