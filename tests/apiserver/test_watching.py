"""How watches begin, in which form their events come, and what continue tokens are refused."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING

import orjson
import pytest

from sampan.api.protobuf import decode_request
from sampan.apiserver.framed import MEDIA_TYPE
from sampan.apiserver.verbs.watch import next_bookmark
from sampan.std.http import Feed, Sink
from sampan.std.websocket import PING, PONG, TEXT, Decoder, Frame, close, encode
from tests.apiserver.test_reads import MAPS, fill, watching

if TYPE_CHECKING:
    from tests.apiserver.conftest import Asker

STREAMING = "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


class Bytes(Sink):
    """What a watch pushes, as it is."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    def send(self, chunk: bytes) -> None:
        self.chunks.append(chunk)

    def waiting(self) -> int:
        return 0

    def end(self) -> None:
        return

    def abort(self) -> None:
        return


async def test_a_plain_watch_may_begin_in_the_future(server: Asker) -> None:
    revision = server.api.cacher.revision
    sink = await watching(server, f"resourceVersion={revision + 1}")
    await fill(server, 3)
    assert sink.seen == [("ADDED", "m001"), ("ADDED", "m002")]


async def test_a_streaming_list_does_not_begin_in_the_future(server: Asker) -> None:
    server.api.cacher.patience_s = 0
    sink = await watching(server, f"{STREAMING}&resourceVersion=99999")
    (event,) = sink.events
    status = event["object"]
    assert (event["type"], status["reason"]) == ("ERROR", "Timeout")
    assert status["message"].startswith("Timeout: Too large resource version: 99999, current: ")


async def test_only_the_first_table_of_a_watch_says_what_its_columns_are(server: Asker) -> None:
    await fill(server, 2)
    sink = await watching(server, "resourceVersion=0", accept=TABLE)
    await server.make(MAPS, {"metadata": {"name": "n"}})
    columns = [event["object"]["columnDefinitions"] for event in sink.events]
    assert [column["name"] for column in columns[0]] == ["Name", "Data", "Age"]
    assert columns[1:] == [None, None]


async def test_the_bookmark_of_a_table_is_a_table_for_every_kind(server: Asker) -> None:
    for served in server.api.catalog:
        rid = served.id
        if "watch" not in served.resource.verbs:
            continue
        prefix = f"/apis/{rid.group}/{rid.version}" if rid.group else f"/api/{rid.version}"
        path = f"{prefix}/{rid.plural}"
        sink = await watching(server, STREAMING, path=path, accept=TABLE)
        mark = sink.events[-1]["object"]
        (row,) = mark["rows"]
        notes = row["object"]["metadata"]["annotations"]
        assert (mark["kind"], notes) == ("Table", {"k8s.io/initial-events-end": "true"}), rid


@pytest.mark.parametrize(
    ("now", "deadline", "due"),
    [
        (0, 1, None),
        (0, 2, None),
        (0, 5, 3),
        (0, 62, 60),
        (0, 1800, 60),
        (60, 100, 98),
        (98, 100, None),
    ],
)
def test_a_bookmark_comes_each_minute_and_before_the_end(
    now: float, deadline: float, due: float | None
) -> None:
    assert next_bookmark(now, deadline) == due


async def test_who_reads_no_json_gets_protobuf_frames(server: Asker) -> None:
    await fill(server, 1)
    response = await server.raw("GET", f"{MAPS}?watch=1&{STREAMING}", accept=MEDIA_TYPE)
    assert response.headers["content-type"] == MEDIA_TYPE
    assert isinstance(response.body, Feed)
    sink = Bytes()
    response.body.attach(sink)
    found = []
    for chunk in sink.chunks:
        assert int.from_bytes(chunk[:4], "big") == len(chunk) - 4
        envelope = chunk[chunk.index(b"k8s\0") :]
        found.append(decode_request(envelope, "v1", "ConfigMap")["metadata"])
    assert found[0]["name"] == "m000"
    assert found[1]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert [b"ADDED" in chunk for chunk in sink.chunks] == [True, False]


async def test_yaml_is_no_form_of_a_watch(server: Asker) -> None:
    response = await server.raw("GET", f"{MAPS}?watch=1", accept="application/yaml")
    assert b"application/json;stream=watch" in await response.read()
    assert (response.status, response.headers["content-type"]) == (406, "application/yaml")


def token(**parts: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(parts)).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (token(), ": server does not recognize this encoded version "),
        (token(v="v2", rv=1, start="a"), ": server does not recognize this encoded version v2"),
        (token(v="meta.k8s.io/v1", start="a"),
         ": incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
        (token(v="meta.k8s.io/v1", rv=1),
         ": encoded start key empty (version meta.k8s.io/v1)"),
        (token(v="meta.k8s.io/v1", rv=1, start="../a"), ": ../a"),
        ("a+b", ": illegal base64 data at input byte 1"),
        ("abcde", ": illegal base64 data at input byte 4"),
        ("abc", ": invalid character 'i' looking for beginning of value"),
    ],
)  # fmt: skip
async def test_a_continue_token_is_checked(server: Asker, sent: str, why: str) -> None:
    query = sent.replace("+", "%2B")
    status, answer = await server.ask("GET", f"{MAPS}?continue={query}")
    prefix = "invalid continue token: continue key is not valid"
    assert (status, answer["message"]) == (400, prefix + why)


class Wire:
    """Both ends of an upgraded connection: what the client says, and what it gets."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[bytes] = asyncio.Queue()
        self.got: asyncio.Queue[Frame] = asyncio.Queue()
        self.decoder = Decoder()
        self.closed = False

    async def read(self, limit: int = 65536) -> bytes:
        return await self.said.get()

    async def write(self, data: bytes) -> None:
        for frame in self.decoder.feed(data):
            self.got.put_nowait(frame)

    def close(self) -> None:
        self.closed = True


async def test_a_watch_goes_over_a_websocket(server: Asker) -> None:
    await fill(server, 1)
    asked = {"upgrade": "websocket", "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ=="}
    response = await server.raw("GET", f"{MAPS}?watch=1", connection="Upgrade", **asked)
    assert response.status == 101
    assert response.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert response.upgrade is not None
    wire = Wire()
    running = asyncio.create_task(response.upgrade(wire))
    await server.make(MAPS, {"metadata": {"name": "n"}})
    found = []
    for _ in range(2):
        frame = await wire.got.get()
        assert frame.opcode == TEXT
        event = orjson.loads(frame.payload)
        found.append((event["type"], event["object"]["metadata"]["name"]))
    assert found == [("ADDED", "m000"), ("ADDED", "n")]
    wire.said.put_nowait(encode(Frame(PING, b"x"), mask=True))
    assert await wire.got.get() == Frame(PONG, b"x")
    wire.said.put_nowait(encode(close(), mask=True))
    await running
    assert wire.closed
    watched = server.api.catalog.find("", "v1", "configmaps")
    assert watched is not None
    assert not watched.collection.takers
