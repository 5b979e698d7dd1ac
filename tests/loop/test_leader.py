from __future__ import annotations

import asyncio
from collections.abc import Callable

from sampan.api import kinds
from sampan.api.errors import ServiceUnavailable
from sampan.client.client import Client
from sampan.loop.leader import Election, Leader, LostLease
from sampan.std.http import Request
from sampan.testing.api import FakeApi
from sampan.testing.clock import JumpingClock, run_jumping


class Work:
    name = "work"

    def __init__(self) -> None:
        self.running = False

    async def run(self, started: Callable[[], None]) -> None:
        self.running = True
        try:
            await asyncio.Event().wait()
        finally:
            self.running = False


def candidate(api: FakeApi, identity: str) -> tuple[Work, Leader]:
    work = Work()
    election = Election("sampan-controllers", identity)
    return work, Leader(election, work, Client(api, user_agent=identity), JumpingClock())


def test_one_leads_and_the_other_takes_over_when_it_is_gone() -> None:
    async def main() -> None:
        api = FakeApi()
        (work_a, a), (work_b, b) = candidate(api, "a"), candidate(api, "b")
        first = asyncio.create_task(a.run(lambda: None))
        await asyncio.sleep(1)
        second = asyncio.create_task(b.run(lambda: None))
        await asyncio.sleep(60)
        assert (work_a.running, work_b.running) == (True, False)
        first.cancel()
        await asyncio.sleep(10)
        assert not work_b.running
        await asyncio.sleep(10)
        assert (work_a.running, work_b.running) == (False, True)
        (lease,) = api.all(kinds.LEASES)
        assert lease["spec"]["holderIdentity"] == "b"
        assert lease["spec"]["leaseTransitions"] == 1
        second.cancel()
        await asyncio.wait((first, second))

    run_jumping(main())


def test_a_released_lease_is_taken_at_the_next_try() -> None:
    async def main() -> None:
        api = FakeApi()
        (_, a), (work_b, b) = candidate(api, "a"), candidate(api, "b")
        first = asyncio.create_task(a.run(lambda: None))
        await asyncio.sleep(1)
        second = asyncio.create_task(b.run(lambda: None))
        await asyncio.sleep(5)
        first.cancel()
        await asyncio.wait((first,))
        await a.release()
        await asyncio.sleep(3)
        assert work_b.running
        second.cancel()
        await asyncio.wait((second,))

    run_jumping(main())


def test_who_cannot_renew_stops_before_another_may_start() -> None:
    async def main() -> None:
        api = FakeApi()
        (work_a, a), (work_b, b) = candidate(api, "a"), candidate(api, "b")
        first = asyncio.create_task(a.run(lambda: None))
        await asyncio.sleep(1)
        second = asyncio.create_task(b.run(lambda: None))
        await asyncio.sleep(5)

        def cut_off(request: Request) -> ServiceUnavailable | None:
            if request.headers["user-agent"] == "a":
                return ServiceUnavailable("away")
            return None

        api.fail = cut_off
        for _ in range(40):
            await asyncio.sleep(1)
            assert not (work_a.running and work_b.running)
        assert work_b.running
        assert isinstance(first.exception(), LostLease)
        second.cancel()
        await asyncio.wait((second,))

    run_jumping(main())
