"""The component at work, against a fake API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson

from sampan.api import kinds
from sampan.api.errors import ApiError, Forbidden, InternalError
from sampan.client.client import Client
from sampan.client.transport import Transport
from sampan.cluster.parts.scheduler import build
from sampan.std.http import Request, Response
from sampan.testing.api import FakeApi
from sampan.testing.clock import JumpingClock, run_jumping
from tests.scheduler.clusters import node

Scene = Callable[[FakeApi], Awaitable[None]]


def _plain(api: FakeApi) -> Transport:
    return api


def play(scene: Scene, seen: Callable[[FakeApi], Transport] = _plain) -> None:
    """Run a scene with a scheduler beside it, which sees the API through `seen`."""

    async def main() -> None:
        api = FakeApi()
        part = build(Client(seen(api)), clock=JumpingClock())
        started = asyncio.Event()
        task = asyncio.create_task(part.run(started.set))
        await started.wait()
        try:
            await scene(api)
        finally:
            task.cancel()
            await asyncio.wait((task,))

    run_jumping(main())


def waiting(name: str, cpu: str = "1", **more: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": cpu}}}
    return {
        "metadata": {"name": name, "namespace": "d", "generation": 1},
        "spec": {"schedulerName": "default-scheduler", "containers": [container], **more},
        "status": {"phase": "Pending"},
    }


def bindings(api: FakeApi) -> list[tuple[str, str]]:
    """(pod, node) of every binding that was asked for."""
    found = []
    for request in api.requests:
        if request.path.endswith("/binding"):
            body = orjson.loads(request.body)
            found.append((body["metadata"]["name"], body["target"]["name"]))
    return found


def bind(api: FakeApi, name: str, where: str) -> None:
    """What the API server does with a binding."""
    obj = next(p for p in api.all(kinds.PODS) if p["metadata"]["name"] == name)
    api.put(kinds.PODS, {**obj, "spec": {**obj["spec"], "nodeName": where}})


def messages(api: FakeApi) -> list[str]:
    return [f"{event['reason']}: {event['message']}" for event in api.all(kinds.EVENTS)]


def test_a_pod_is_bound_and_an_event_tells_of_it() -> None:
    async def scene(api: FakeApi) -> None:
        api.put(kinds.NODES, node("n1"))
        api.put(kinds.PODS, waiting("p"))
        await asyncio.sleep(1)
        assert bindings(api) == [("p", "n1")]
        assert messages(api) == ["Scheduled: Successfully assigned d/p to n1"]

    play(scene)


def test_pods_of_other_schedulers_and_gated_ones_are_left_alone() -> None:
    async def scene(api: FakeApi) -> None:
        api.put(kinds.NODES, node("n1"))
        api.put(kinds.PODS, waiting("p", schedulerName="mine"))
        api.put(kinds.PODS, waiting("q", schedulingGates=[{"name": "g"}]))
        await asyncio.sleep(5)
        assert bindings(api) == []
        assert messages(api) == []

    play(scene)


def test_room_that_was_promised_is_not_given_twice() -> None:
    async def scene(api: FakeApi) -> None:
        api.put(kinds.NODES, node("n1", capacity={"cpu": "1"}))
        api.put(kinds.PODS, waiting("p"))
        api.put(kinds.PODS, waiting("q"))
        await asyncio.sleep(0.5)
        assert len(bindings(api)) == 1

    play(scene)


def test_an_unschedulable_pod_says_why_and_is_bound_when_a_node_comes() -> None:
    async def scene(api: FakeApi) -> None:
        api.put(kinds.PODS, waiting("p"))
        await asyncio.sleep(1)
        assert messages(api) == ["FailedScheduling: no nodes available to schedule pods"]
        (pod,) = api.all(kinds.PODS)
        (condition,) = pod["status"]["conditions"]
        assert (condition["type"], condition["status"]) == ("PodScheduled", "False")
        assert condition["observedGeneration"] == 1
        api.put(kinds.NODES, node("n1"))
        await asyncio.sleep(12)
        assert bindings(api) == [("p", "n1")]

    play(scene)


def test_a_pod_waits_until_another_one_goes() -> None:
    async def scene(api: FakeApi) -> None:
        api.put(kinds.NODES, node("n1", capacity={"cpu": "1"}))
        api.put(kinds.PODS, waiting("p", nodeName="n1"))
        await asyncio.sleep(0.1)
        api.put(kinds.PODS, waiting("q"))
        await asyncio.sleep(30)
        assert bindings(api) == []
        api.drop(kinds.PODS, "p", "d")
        await asyncio.sleep(12)
        assert bindings(api) == [("q", "n1")]

    play(scene)


def test_a_binding_that_fails_is_tried_again() -> None:
    async def scene(api: FakeApi) -> None:
        refused: list[Request] = []

        def refuse(request: Request) -> InternalError | None:
            if request.path.endswith("/binding") and not refused:
                refused.append(request)
                return InternalError("not now")
            return None

        api.fail = refuse
        api.put(kinds.NODES, node("n1"))
        api.put(kinds.PODS, waiting("p"))
        await asyncio.sleep(12)
        assert refused
        assert bindings(api) == [("p", "n1")] * 2

    play(scene)


def test_victims_go_and_the_place_is_kept_for_the_more_important() -> None:
    async def scene(api: FakeApi) -> None:
        api.put(kinds.NODES, node("n1", capacity={"cpu": "1"}))
        low = waiting("low", nodeName="n1", priority=1)
        low["metadata"]["finalizers"] = ["kubelet"]  # it takes its time
        api.put(kinds.PODS, low)
        await asyncio.sleep(0.1)
        api.put(kinds.PODS, waiting("high", priority=10))
        api.put(kinds.PODS, waiting("small", "1m"))
        await asyncio.sleep(1)
        pods = {pod["metadata"]["name"]: pod for pod in api.all(kinds.PODS)}
        assert "deletionTimestamp" in pods["low"]["metadata"]
        assert pods["low"]["status"]["conditions"][0]["type"] == "DisruptionTarget"
        assert pods["high"]["status"]["nominatedNodeName"] == "n1"
        assert "FailedScheduling: 0/1 nodes are available: 1 Insufficient cpu." in messages(api)
        api.drop(kinds.PODS, "low", "d")
        await asyncio.sleep(12)
        assert bindings(api)[0] == ("high", "n1")
        bind(api, "high", "n1")

    play(scene)


class LateNews:
    """A Transport that holds back what watches of one collection tell."""

    def __init__(self, api: FakeApi, plural: str, seconds: float) -> None:
        self._api, self._plural, self._seconds = api, plural, seconds

    async def request(self, request: Request, *, timeout_s: float = 30) -> Response:
        response = await self._api.request(request, timeout_s=timeout_s)
        if "watch" in request.query and request.path.endswith(f"/{self._plural}"):
            assert not isinstance(response.body, bytes)
            return Response(response.status, response.headers, self._late(response.body))
        return response

    async def _late(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for line in body:
            await asyncio.sleep(self._seconds)
            yield line

    async def close(self) -> None:
        return None


def test_a_refusal_is_not_told_before_the_news_that_the_pod_builds_on_are_heard() -> None:
    async def scene(api: FakeApi) -> None:
        tainted = node("n1", taints=[{"key": "k", "effect": "NoSchedule"}])
        api.put(kinds.NODES, tainted)
        await asyncio.sleep(2)
        api.put(kinds.NODES, node("n1"))
        api.put(kinds.PODS, waiting("p"))
        await asyncio.sleep(2)
        assert bindings(api) == [("p", "n1")]
        assert messages(api) == ["Scheduled: Successfully assigned d/p to n1"]

    play(scene, lambda api: LateNews(api, "nodes", 0.5))


def test_a_cache_that_never_catches_up_does_not_silence_the_refusal() -> None:
    async def scene(api: FakeApi) -> None:
        api.put(kinds.NODES, node("n1", capacity={"cpu": "1"}))
        await asyncio.sleep(200)
        api.put(kinds.NODES, node("n1", capacity={"cpu": "2"}))
        api.put(kinds.PODS, waiting("p", cpu="8"))
        await asyncio.sleep(10)
        (text,) = messages(api)
        assert text.startswith("FailedScheduling: 0/1 nodes are available: 1 Insufficient cpu.")

    play(scene, lambda api: LateNews(api, "nodes", 100))


def test_a_binding_that_is_refused_is_told_as_the_schedulers_own_failure() -> None:
    async def scene(api: FakeApi) -> None:
        def refuse(request: Request) -> ApiError | None:
            is_binding = request.path.endswith("/binding")
            return Forbidden("pods is forbidden: no") if is_binding else None

        api.fail = refuse
        api.put(kinds.NODES, node("n1"))
        api.put(kinds.PODS, waiting("p"))
        await asyncio.sleep(0.5)
        text = 'running Bind plugin "DefaultBinder": pods is forbidden: no'
        assert messages(api) == [f"FailedScheduling: {text}"]
        (found,) = api.all(kinds.PODS)
        (condition,) = found["status"]["conditions"]
        assert (condition["reason"], condition["message"]) == ("SchedulerError", text)

    play(scene)


def test_a_pod_that_the_scheduler_placed_itself_wakes_those_that_want_to_be_near_it() -> None:
    near = {"labelSelector": {"matchLabels": {"app": "a"}}, "topologyKey": "kubernetes.io/hostname"}
    terms = {"requiredDuringSchedulingIgnoredDuringExecution": [near]}

    async def scene(api: FakeApi) -> None:
        api.put(kinds.NODES, node("n1"))
        api.put(kinds.PODS, waiting("guest", affinity={"podAffinity": terms}))
        await asyncio.sleep(5)
        assert bindings(api) == []
        host = waiting("host")
        host["metadata"]["labels"] = {"app": "a"}
        api.put(kinds.PODS, host)
        await asyncio.sleep(1)
        assert bindings(api) == [("host", "n1")]
        api.put(kinds.PODS, host | {"spec": host["spec"] | {"nodeName": "n1"}})
        await asyncio.sleep(12)
        assert bindings(api) == [("host", "n1"), ("guest", "n1")]

    play(scene)


def test_changes_that_cannot_help_do_not_delay_the_one_that_does() -> None:
    """The recorded case `wake-ups`: upstream needs seven seconds for all of it."""

    near = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname",
         "labelSelector": {"matchLabels": {"app": "late"}}}]}}  # fmt: skip

    async def waits(api: FakeApi) -> None:
        api.put(kinds.NODES, node("n1", taints=[{"key": "k", "effect": "NoSchedule"}]))
        api.put(kinds.NODES, node("n2", unschedulable=True))
        api.put(
            kinds.PODS, waiting("neighbour", affinity=near, tolerations=[{"operator": "Exists"}])
        )
        await asyncio.sleep(1)
        api.put(kinds.NODES, node("n1", labels={"disk": "ssd"}))
        for cpu in ("5", "6", "7", "8"):
            await asyncio.sleep(1)
            api.put(kinds.NODES, node("n2", capacity={"cpu": cpu}))
        await asyncio.sleep(1)
        late = waiting("late", nodeName="n1")
        late["metadata"]["labels"] = {"app": "late"}
        api.put(kinds.PODS, late)
        await asyncio.sleep(0.5)
        assert bindings(api) == [("neighbour", "n1")]

    play(waits)


def claim(name: str, **status: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "d", "uid": f"uid-{name}"}
    request = {"name": "r", "exactly": {"deviceClassName": "gpu"}}
    return {"metadata": meta, "spec": {"devices": {"requests": [request]}}, "status": status}


def test_a_pod_without_its_resource_claim_waits_in_silence_until_it_is_allocated() -> None:
    async def scene(api: FakeApi) -> None:
        api.put(kinds.NODES, node("n1"))
        api.put(kinds.NODES, node("n2", labels={"gpu": "yes"}))
        api.put(kinds.PODS, waiting("p", resourceClaims=[{"name": "a", "resourceClaimName": "c"}]))
        await asyncio.sleep(30)
        assert (bindings(api), messages(api)) == ([], [])
        api.put(kinds.RESOURCECLAIMS, claim("c"))
        await asyncio.sleep(2)
        told = "0/2 nodes are available: request r: device class gpu does not exist."
        assert messages(api)[0].startswith(f"FailedScheduling: {told}")
        api.put(kinds.DEVICECLASSES, {"metadata": {"name": "gpu"}, "spec": {}})
        await asyncio.sleep(2)
        assert any("2 cannot allocate all claims" in text for text in messages(api))
        selector = {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "gpu", "operator": "Exists"}]}]}  # fmt: skip
        api.put(kinds.RESOURCECLAIMS, claim("c", allocation={"nodeSelector": selector}))
        await asyncio.sleep(2)
        assert bindings(api) == [("p", "n2")]
        (found,) = api.all(kinds.RESOURCECLAIMS)
        (user,) = found["status"]["reservedFor"]
        assert (user["resource"], user["name"]) == ("pods", "p")

    play(scene)


def test_a_pod_with_a_claim_template_waits_for_the_claim_made_from_it() -> None:
    async def scene(api: FakeApi) -> None:
        api.put(kinds.NODES, node("n1"))
        entry = {"name": "a", "resourceClaimTemplateName": "t"}
        p = api.put(kinds.PODS, waiting("p", resourceClaims=[entry]))
        api.put(kinds.PODS, waiting("other"))
        await asyncio.sleep(30)
        assert bindings(api) == [("other", "n1")]
        statuses = [{"name": "a", "resourceClaimName": "c"}]
        api.put(kinds.PODS, {**p, "status": {**p["status"], "resourceClaimStatuses": statuses}})
        api.put(kinds.RESOURCECLAIMS, claim("c", allocation={}))
        await asyncio.sleep(2)
        assert len(bindings(api)) == 1  # made for somebody else
        mine = claim("c", allocation={"devices": {}})
        owner = {"kind": "Pod", "name": "p", "uid": p["metadata"]["uid"], "controller": True}
        mine["metadata"]["ownerReferences"] = [owner]
        api.put(kinds.RESOURCECLAIMS, mine)
        await asyncio.sleep(2)
        assert bindings(api)[-1] == ("p", "n1")

    play(scene)
