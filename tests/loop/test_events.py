from __future__ import annotations

import asyncio
from collections.abc import Callable

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.client.transport import Unreachable
from sampan.loop.events import Recorder
from sampan.std.http import Request, Response
from sampan.testing.api import FakeApi
from sampan.testing.clock import JumpingClock, run_jumping

POD: Json = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7"},
}


def recorded(say: Callable[[Recorder], None], host: str = "") -> list[Json]:
    """The events in the API after this was said."""

    async def main() -> list[Json]:
        api = FakeApi()
        recorder = Recorder(Client(api), "tester", JumpingClock(), host=host)
        task = asyncio.create_task(recorder.run())
        say(recorder)
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait((task,))
        return api.all(kinds.EVENTS)

    return run_jumping(main())


def test_an_event_names_object_reporter_and_time() -> None:
    (event,) = recorded(lambda r: r.event(POD, "Normal", "Started", "up"), host="n1")
    assert event["metadata"]["namespace"] == "shop"
    assert event["metadata"]["name"].startswith("web.")
    assert event["involvedObject"] == {
        "kind": "Pod", "namespace": "shop", "name": "web", "uid": "u1", "apiVersion": "v1",
        "resourceVersion": "7",
    }  # fmt: skip
    assert event["source"] == {"component": "tester", "host": "n1"}
    assert event["reportingComponent"] == "tester"
    assert (event["type"], event["reason"], event["message"]) == ("Normal", "Started", "up")
    assert event["count"] == 1
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2023-11-14T22:13:20Z"


def test_equal_events_are_counted() -> None:
    def say(recorder: Recorder) -> None:
        for _ in range(5):
            recorder.event(POD, "Warning", "BackOff", "again")

    (event,) = recorded(say)
    assert event["count"] == 5


def test_many_alike_become_one() -> None:
    def say(recorder: Recorder) -> None:
        for number in range(14):
            recorder.event(POD, "Warning", "Failed", f"try {number}")

    events = recorded(say)
    assert len(events) == 10
    assert events[-1]["message"] == "(combined from similar events): try 13"
    assert events[-1]["count"] == 5


def test_a_storm_about_one_object_is_cut_off() -> None:
    def say(recorder: Recorder) -> None:
        for number in range(100):
            recorder.event(POD, "Warning", f"R{number}", "x")

    assert len(recorded(say)) == 25


def test_what_happened_while_the_server_was_away_is_told_later() -> None:
    class Away(FakeApi):
        """Out of reach until told otherwise."""

        here = False

        async def request(self, request: Request, *, timeout_s: float = 30) -> Response:
            if not self.here:
                raise Unreachable("refused")
            return await super().request(request, timeout_s=timeout_s)

    async def main() -> None:
        api = Away()
        recorder = Recorder(Client(api), "tester", JumpingClock())
        task = asyncio.create_task(recorder.run())
        recorder.event(POD, "Normal", "Started", "up")
        await asyncio.sleep(60)
        assert api.all(kinds.EVENTS) == []
        api.here = True
        await asyncio.sleep(11)
        assert [event["reason"] for event in api.all(kinds.EVENTS)] == ["Started"]
        task.cancel()
        await asyncio.wait((task,))

    run_jumping(main())
