"""The watching half against an API server in memory: nothing is lost, whatever happens to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sampan.api import kinds
from sampan.api.errors import ServiceUnavailable
from sampan.api.meta import Key
from sampan.dns.kube import snapshot
from sampan.dns.kube.model import SYNCED, Model
from sampan.dns.kube.watch import Wanted, Watcher
from sampan.testing.api import FakeApi
from tests.dns.clusters import DEMO, pod, service, slice_

RIDS = {
    "Namespace": kinds.NAMESPACES,
    "Service": kinds.SERVICES,
    "EndpointSlice": kinds.ENDPOINTSLICES,
    "Pod": kinds.PODS,
}
KEY = ("demo", "web")


class Stand:
    """A connection that leads to the API server in memory."""

    server = "http://stand"

    def __init__(self, api: FakeApi) -> None:
        self.api = api

    def transport(self) -> FakeApi:
        return self.api

    def bearer(self) -> str:
        return ""


class Quick:
    """A clock whose seconds are a hundredth of one."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 100)


def put(api: FakeApi, *objects: dict[str, Any]) -> None:
    for obj in objects:
        api.put(RIDS[obj["kind"]], obj)


@asynccontextmanager
async def watched(wanted: Wanted) -> AsyncIterator[tuple[FakeApi, Model]]:
    api, model = FakeApi(), Model(lambda: asyncio.get_running_loop().time())
    put(api, *DEMO)
    watcher = Watcher(Stand(api), wanted, Quick())  # type: ignore[arg-type]
    task = asyncio.create_task(watcher.run(model.apply))  # type: ignore[arg-type]
    try:
        await until(lambda: model.synced)
        yield api, model
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.002)


async def test_what_is_there_is_listed_and_changes_are_followed() -> None:
    async with watched(Wanted(pods=True)) as (api, model):
        assert model.services[KEY].ips == ("10.96.1.1",)
        assert [e.ip for e in model.endpoints(KEY)[0].endpoints] == ["10.1.0.1", "10.1.0.2"]
        put(api, service("web", "10.96.1.50"))
        await until(lambda: model.services[KEY].ips == ("10.96.1.50",))
        api.drop(kinds.ENDPOINTSLICES, "web-ipv4", "demo")
        await until(lambda: not model.endpoints(KEY))
        put(api, pod("late", "10.1.7.9"))
        await until(lambda: "10.1.7.9" in model.pod_ips)


async def test_a_watch_that_is_cut_off_loses_nothing() -> None:
    async with watched(Wanted()) as (api, model):
        api.cut()
        put(api, service("web", "10.96.1.51"))
        api.drop(kinds.SERVICES, "bare", "demo")
        await until(lambda: model.services[KEY].ips == ("10.96.1.51",))
        await until(lambda: ("demo", "bare") not in model.services)


async def test_history_that_is_gone_is_listed_anew() -> None:
    async with watched(Wanted()) as (api, model):
        api.drop(kinds.SERVICES, "bare", "demo")
        put(api, service("web", "10.96.1.52"))
        api.oldest = api.revision
        api.cut()
        put(api, slice_("web", "10.1.0.77"))
        await until(lambda: model.services[KEY].ips == ("10.96.1.52",))
        await until(lambda: ("demo", "bare") not in model.services)
        await until(lambda: "10.1.0.77" in model.endpoint_ips)


async def test_what_a_watch_skips_without_a_word_is_found() -> None:
    """As in the outage of 2026: the watch lives, bookmarks come, a window of events does not."""
    async with watched(Wanted(check_s=5)) as (api, model):
        told: list[str] = []
        lost: list[int] = []
        model.on_warning, model.on_drift = told.append, lost.append
        silently(api, service("web", "10.96.1.66"), slice_("web", "10.1.0.66"), service("late"))
        del api.objects[("", "v1", "services")][Key("demo", "bare")]
        assert model.services[KEY].ips == ("10.96.1.1",)
        await until(lambda: model.services[KEY].ips == ("10.96.1.66",))
        await until(lambda: ("demo", "bare") not in model.services)
        await until(lambda: ("demo", "late") in model.services)
        await until(lambda: "10.1.0.66" in model.endpoint_ips and sum(lost) == 4)
        assert "1 of endpointslices were lost by the watch, and found again" in told
        put(api, service("web", "10.96.1.67"))
        await until(lambda: model.services[KEY].ips == ("10.96.1.67",))
        await asyncio.sleep(0.3)  # further checks find nothing
        assert sum(lost) == 4


async def test_a_check_amid_changes_takes_nothing_back() -> None:
    async with watched(Wanted(check_s=0.5)) as (api, model):
        lost: list[int] = []
        model.on_drift = lost.append
        for turn in range(300):
            put(api, service("web", f"10.96.2.{turn % 250}"))
            if turn % 7 == 0:
                api.drop(kinds.SERVICES, "bare", "demo")
                put(api, service("bare", "10.96.1.9"))
            await asyncio.sleep(0.001)
        await until(lambda: model.services[KEY].ips == ("10.96.2.49",))
        assert lost == []


def silently(api: FakeApi, *objects: dict[str, Any]) -> None:
    """Change objects at the server; no watch hears of it."""
    for obj in objects:
        rid, meta = RIDS[obj["kind"]], obj["metadata"]
        api.revision += 1
        meta["resourceVersion"] = str(api.revision)
        where = api.objects[(rid.group, rid.version, rid.plural)]
        where[Key(meta["namespace"], meta["name"])] = obj


async def test_a_silent_api_server_is_noticed_and_what_is_known_stays() -> None:
    async with watched(Wanted()) as (api, model):
        await until(lambda: model.heard > 0)
        api.fail = lambda request: ServiceUnavailable("gone")
        api.cut()
        await asyncio.sleep(0.1)
        last = model.heard
        await asyncio.sleep(0.15)
        assert model.heard == last
        assert model.services[KEY].ips == ("10.96.1.1",)
        api.fail = lambda request: None
        await until(lambda: model.heard > last)


async def test_requests_are_told_for_the_counters() -> None:
    told: list[tuple[Any, ...]] = []
    api, model = FakeApi(), Model(lambda: 0.0)
    model.on_request = told.append
    watcher = Watcher(Stand(api), Wanted(), Quick())  # type: ignore[arg-type]
    task = asyncio.create_task(watcher.run(model.apply))  # type: ignore[arg-type]
    await until(lambda: len(told) >= 6)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert {row[1:3] for row in told} == {("GET", "200")}


async def test_a_snapshot_is_written_and_holds_what_was_known(tmp_path: Path) -> None:
    path = str(tmp_path / "snapshot")
    async with watched(Wanted(snapshot=path)) as (_, model):
        await until(lambda: bool(snapshot.read(path)))
    again = Model(lambda: 0.0)
    again.take([*snapshot.read(path), (SYNCED,)])
    assert again.services == model.services
    assert again.slices == model.slices
    assert again.namespaces == model.namespaces


def test_a_damaged_snapshot_and_a_missing_one_hold_nothing(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    snapshot.write(str(path), [("n", ("demo",)), ("n", ("other",))])
    assert snapshot.read(str(path)) == [("n", ("demo",)), ("n", ("other",))]
    assert [found.name for found in tmp_path.iterdir()] == ["snapshot"]
    path.write_text(path.read_text()[:-5])
    assert snapshot.read(str(path)) == []
    assert snapshot.read(str(tmp_path / "none")) == []
