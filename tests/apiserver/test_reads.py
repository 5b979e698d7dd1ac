"""Lists, pages and watches, against what was written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from sampan.api.meta import Json
from sampan.apiserver.cacher.collection import RECENT_EVENTS
from sampan.apiserver.cacher.watcher import MAX_WAITING
from sampan.std.http import Feed, Sink

if TYPE_CHECKING:
    from tests.apiserver.conftest import Asker

MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"


async def fill(server: Asker, count: int, path: str = MAPS) -> None:
    for number in range(count):
        await server.make(path, {"metadata": {"name": f"m{number:03}"}})


def names(listed: Json) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


class Collector(Sink):
    """What a watch pushes."""

    def __init__(self) -> None:
        self.events: list[Json] = []
        self.backlog = 0
        self.ended = self.aborted = False

    def send(self, chunk: bytes) -> None:
        self.events += [orjson.loads(line) for line in chunk.splitlines()]

    def waiting(self) -> int:
        return self.backlog

    def end(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.aborted = True

    @property
    def seen(self) -> list[tuple[str, str]]:
        return [(e["type"], e["object"]["metadata"].get("name", "")) for e in self.events]


async def watching(server: Asker, query: str, path: str = MAPS, **more: Any) -> Collector:
    response = await server.raw("GET", f"{path}?watch=1&{query}", **more)
    assert response.status == 200
    assert isinstance(response.body, Feed)
    sink = Collector()
    response.body.attach(sink)
    return sink


async def test_pages_show_one_moment_whatever_is_written_meanwhile(server: Asker) -> None:
    await fill(server, 10)
    _, first = await server.ask("GET", f"{MAPS}?limit=4")
    assert first["metadata"]["remainingItemCount"] == 6
    await server.ask("DELETE", f"{MAPS}/m005")
    await server.make(MAPS, {"metadata": {"name": "m0045"}})
    found, token = names(first), first["metadata"]["continue"]
    while token:
        _, page = await server.ask("GET", f"{MAPS}?limit=4&continue={token}")
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        found, token = found + names(page), page["metadata"].get("continue", "")
    assert found == [f"m{n:03}" for n in range(10)]


async def test_a_page_of_forgotten_history_is_gone_but_can_be_continued(server: Asker) -> None:
    await fill(server, 6)
    _, first = await server.ask("GET", f"{MAPS}?limit=2")
    await server.ask("DELETE", f"{MAPS}/m004")
    await server.api.parts.store.compact(server.api.cacher.revision)
    token = first["metadata"]["continue"]
    status, gone = await server.ask("GET", f"{MAPS}?limit=9&continue={token}")
    assert (status, gone["reason"]) == (410, "Expired")
    _, rest = await server.ask("GET", f"{MAPS}?limit=9&continue={gone['metadata']['continue']}")
    assert names(rest) == ["m002", "m003", "m005"]


async def test_a_list_of_an_older_moment_is_exact(server: Asker) -> None:
    await fill(server, 3)
    version = str(server.api.cacher.revision)
    await server.ask("DELETE", f"{MAPS}/m001")
    query = f"resourceVersion={version}&resourceVersionMatch=Exact"
    _, listed = await server.ask("GET", f"{MAPS}?{query}")
    assert names(listed) == ["m000", "m001", "m002"]
    assert listed["metadata"]["resourceVersion"] == version
    _, newest = await server.ask("GET", f"{MAPS}?resourceVersion={version}")
    assert names(newest) == ["m000", "m002"]


async def test_a_revision_from_the_future_is_too_large(server: Asker) -> None:
    server.api.cacher.patience_s = 0
    status, body = await server.ask("GET", f"{MAPS}?resourceVersion=999999")
    assert status == 504
    assert body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_lists_of_all_namespaces_are_in_the_order_of_keys(server: Asker) -> None:
    for space in ("a", "a-b", "b"):
        await server.namespace(space)
        await fill(server, 2, f"/api/v1/namespaces/{space}/secrets")
    _, listed = await server.ask("GET", "/api/v1/secrets?limit=3")
    order = [(i["metadata"]["namespace"], i["metadata"]["name"]) for i in listed["items"]]
    _, rest = await server.ask("GET", f"/api/v1/secrets?continue={listed['metadata']['continue']}")
    order += [(i["metadata"]["namespace"], i["metadata"]["name"]) for i in rest["items"]]
    assert order == sorted(order, key=lambda key: f"{key[0]}/{key[1]}")
    assert len(order) == 6


async def test_a_watch_from_a_revision_sees_everything_after_it(server: Asker) -> None:
    version = server.api.cacher.revision
    await fill(server, 2)
    sink = await watching(server, f"resourceVersion={version}")
    await server.ask("DELETE", f"{MAPS}/m000")
    assert sink.seen == [("ADDED", "m000"), ("ADDED", "m001"), ("DELETED", "m000")]
    versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in sink.events]
    assert versions == sorted(set(versions))


async def test_a_watch_reaches_behind_what_memory_holds(server: Asker) -> None:
    made = await server.make(MAPS, {"metadata": {"name": "m"}})
    version = made["metadata"]["resourceVersion"]
    count = RECENT_EVENTS + 50
    for number in range(count):
        await server.ask("PATCH", f"{MAPS}/m", {"data": {"n": str(number)}}, type=MERGE)
    sink = await watching(server, f"resourceVersion={version}")
    assert [e["object"]["data"]["n"] for e in sink.events] == [str(n) for n in range(count)]


async def test_a_watch_from_forgotten_history_says_expired(server: Asker) -> None:
    made = await server.make(MAPS, {"metadata": {"name": "m"}})
    version = made["metadata"]["resourceVersion"]
    for number in range(RECENT_EVENTS + 5):
        await server.ask("PATCH", f"{MAPS}/m", {"data": {"n": str(number)}}, type=MERGE)
    await server.api.parts.store.compact(server.api.cacher.revision)
    sink = await watching(server, f"resourceVersion={version}")
    assert [e["type"] for e in sink.events] == ["ERROR"]
    assert sink.events[0]["object"]["code"] == 410
    assert sink.ended


async def test_a_selector_turns_changes_into_comings_and_goings(server: Asker) -> None:
    sink = await watching(server, "labelSelector=x%3Dy&resourceVersion=0")
    await server.make(MAPS, {"metadata": {"name": "m"}})
    for labels in ({"x": "y"}, {"x": "y", "z": "z"}, {"x": "n"}):
        patch = {"metadata": {"labels": labels}}
        await server.ask("PATCH", f"{MAPS}/m", patch, type=MERGE)
    assert [kind for kind, name in sink.seen if name == "m"] == ["ADDED", "MODIFIED", "DELETED"]
    assert sink.events[-1]["object"]["metadata"]["labels"] == {"x": "y", "z": "z"}


async def test_watchers_of_one_form_share_the_very_same_bytes(server: Asker) -> None:
    chunks: list[bytes] = []

    class Keeper(Collector):
        def send(self, chunk: bytes) -> None:
            chunks.append(chunk)

    for _ in range(3):
        response = await server.raw("GET", f"{MAPS}?watch=1&resourceVersion=0")
        assert isinstance(response.body, Feed)
        response.body.attach(Keeper())
    await server.make(MAPS, {"metadata": {"name": "m"}})
    newest = chunks[-3:]
    assert newest[0] is newest[1] is newest[2]


async def test_a_watcher_that_does_not_keep_up_is_dropped(server: Asker) -> None:
    sink = await watching(server, "resourceVersion=0")
    sink.backlog = MAX_WAITING + 1
    await server.make(MAPS, {"metadata": {"name": "a"}})
    await server.make(MAPS, {"metadata": {"name": "b"}})
    assert sink.aborted
    assert ("ADDED", "b") not in sink.seen


async def test_a_streaming_list_ends_its_beginning_with_a_bookmark(server: Asker) -> None:
    await fill(server, 2)
    query = "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    sink = await watching(server, query)
    await server.make(MAPS, {"metadata": {"name": "new"}})
    kinds = [kind for kind, _ in sink.seen]
    assert kinds == ["ADDED", "ADDED", "BOOKMARK", "ADDED"]
    notes = sink.events[2]["object"]["metadata"]["annotations"]
    assert notes == {"k8s.io/initial-events-end": "true"}


async def test_watches_come_as_tables_and_as_metadata_too(server: Asker) -> None:
    forms = "application/json;as={};v=v1;g=meta.k8s.io"
    table = await watching(server, "resourceVersion=0", accept=forms.format("Table"))
    meta = await watching(server, "resourceVersion=0", accept=forms.format("PartialObjectMetadata"))
    await server.make(MAPS, {"metadata": {"name": "m"}, "data": {"a": "b"}})
    assert table.events[-1]["object"]["rows"][0]["cells"][:2] == ["m", 1]
    assert meta.events[-1]["object"]["kind"] == "PartialObjectMetadata"
    assert "data" not in meta.events[-1]["object"]


async def test_large_answers_are_packed_for_those_who_ask(server: Asker) -> None:
    import zlib

    await server.make(MAPS, {"metadata": {"name": "m"}, "data": {"a": "x" * 200_000}})
    plain = await server.raw("GET", f"{MAPS}/m")
    packed = await server.raw("GET", f"{MAPS}/m", accept_encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    content = await packed.read()
    assert len(content) < 10_000
    assert zlib.decompress(content, 16 + zlib.MAX_WBITS) == await plain.read()


async def test_a_restart_finds_everything_at_the_same_revision(server: Asker) -> None:
    from sampan.apiserver.cacher.cacher import Cacher

    await fill(server, 3)
    await server.ask("DELETE", f"{MAPS}/m001")
    again = Cacher(server.api.parts.store)
    await again.load()
    assert again.revision == server.api.cacher.revision
    for prefix, collection in server.api.cacher.collections.items():
        held = [(i.namespace, i.name, i.revision, i.body) for i in collection.items()]
        found = again.collections[prefix].items() if prefix in again.collections else ()
        assert [(i.namespace, i.name, i.revision, i.body) for i in found] == held


async def test_pages_of_a_selection_at_an_older_moment_are_complete(server: Asker) -> None:
    for number in range(12):
        labels = {"odd": str(number % 2)}
        await server.make(MAPS, {"metadata": {"name": f"m{number:02}", "labels": labels}})
    _, first = await server.ask("GET", f"{MAPS}?limit=2&labelSelector=odd%3D1")
    await server.ask("DELETE", f"{MAPS}/m09")
    found, token = names(first), first["metadata"]["continue"]
    while token:
        query = f"limit=2&labelSelector=odd%3D1&continue={token}"
        _, page = await server.ask("GET", f"{MAPS}?{query}")
        found, token = found + names(page), page["metadata"].get("continue", "")
    assert found == [f"m{n:02}" for n in range(1, 12, 2)]


async def test_who_fell_behind_the_stores_memory_catches_up(server: Asker) -> None:
    from sampan.apiserver.cacher.cacher import Cacher

    await fill(server, 3)
    behind = Cacher(server.api.parts.store)
    await behind.load()
    changed: list[tuple[str, bool]] = []
    behind.listen("", "configmaps", lambda e: changed.append((e.subject.name, e.item is not None)))
    await server.ask("DELETE", f"{MAPS}/m001")
    await server.ask("PATCH", f"{MAPS}/m002", {"data": {"a": "b"}}, type=MERGE)
    await server.make(MAPS, {"metadata": {"name": "new"}})
    await server.api.parts.store.compact(server.api.cacher.revision)
    following = asyncio.create_task(behind.run())
    await behind.wait_for(server.api.cacher.revision)
    following.cancel()
    assert sorted(changed) == [("m001", False), ("m002", True), ("new", True)]
    held = [item.name for item in behind.collection("", "configmaps").items("default")]
    assert held == ["m000", "m002", "new"]
