"""Which pods belong together by Services and workloads."""

from __future__ import annotations

import asyncio
from typing import Any

from sampan.api import kinds
from sampan.client.client import Client
from sampan.loop.informers import Informers
from sampan.scheduler.kin import Kin
from sampan.scheduler.pod import PodView
from sampan.testing.api import FakeApi
from sampan.testing.clock import JumpingClock, run_jumping
from tests.scheduler.clusters import pod


def selector_of(view: PodView, **objects: list[dict[str, Any]]) -> str:
    """What finds the pod and its like, in a world with these objects."""

    async def main() -> str:
        api, clock = FakeApi(), JumpingClock()
        for service in objects.get("services", []):
            api.put(kinds.SERVICES, service)
        for rs in objects.get("replicasets", []):
            api.put(kinds.REPLICASETS, rs)
        informers = Informers(Client(api), clock)
        kin = Kin(informers)
        task = asyncio.create_task(informers.run())
        await informers.synced()
        found = kin.selector_for(view)
        task.cancel()
        await asyncio.wait((task,))
        return str(found)

    return run_jumping(main())


def service(name: str, namespace: str = "d", **selector: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"selector": selector}}


def test_all_services_that_select_a_pod_say_who_is_like_it() -> None:
    services = [
        service("one", app="web"),
        service("two", tier="front", app="web"),
        service("other", app="db"),
        service("more", app="web", zone="z"),
        service("elsewhere", "e", app="web"),
        {"metadata": {"name": "none", "namespace": "d"}, "spec": {}},
    ]
    view = pod("a", {"app": "web", "tier": "front"})
    assert selector_of(view, services=services) == "app=web,tier=front"


def test_a_pod_of_a_workload_is_like_its_siblings() -> None:
    view = pod("a", {"app": "web"})
    view.obj["metadata"]["ownerReferences"] = [
        {"kind": "ReplicaSet", "name": "rs", "uid": "u", "controller": True}
    ]
    spec = {"selector": {"matchLabels": {"app": "web"}}}
    rs = {"metadata": {"name": "rs", "namespace": "d"}, "spec": spec}
    assert selector_of(view, replicasets=[rs]) == "app=web"


def test_a_pod_that_stands_alone_is_like_nobody() -> None:
    assert selector_of(pod("a", {"app": "web"}), services=[service("s", app="db")]) == "None"
