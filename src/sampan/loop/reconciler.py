"""The reconciler contract, and the controller that feeds one from a queue.

informer -> key -> Queue -> reconcile(key) --> None         well, forget
                     ^                     --> seconds      well, ask again then
                     |                     --> raise        back off, ask again
                     +---------------------    Terminal     logged, not asked again
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from sampan.api.errors import AlreadyExists, ApiError, Conflict, Forbidden, NotFound
from sampan.client.transport import Unreachable
from sampan.client.trouble import Trouble, told
from sampan.loop.informer import Informer
from sampan.loop.queue import Item, Queue
from sampan.std import log
from sampan.std.metrics import Distribution, Registry

AWAY_S = 5.0
"""The longest pause of an item while the API server cannot be reached."""

Item_contra = TypeVar("Item_contra", contravariant=True)


class Terminal(Exception):
    """Trying again would fail in the same way until the object changes."""


class Reconciler(Protocol[Item_contra]):
    """Brings the world of one key to what is wished, from the caches; twice is harmless."""

    @property
    def name(self) -> str: ...

    async def reconcile(self, key: Item_contra, /) -> float | None:
        """Seconds until it wants to be asked again, or None. Raising means retry."""
        ...


class Controller(Generic[Item]):
    """A component: workers that take keys from the queue, once the informers have synced."""

    def __init__(
        self,
        reconciler: Reconciler[Item],
        queue: Queue[Item],
        *,
        workers: int = 4,
        wait_for: Sequence[Informer] = (),
    ) -> None:
        self._reconciler = reconciler
        self._queue = queue
        self._workers = workers
        self._wait_for = wait_for
        self._log = log.get(reconciler.name)
        self._took: Distribution | None = None
        self._trouble = Trouble()

    def measure(self, registry: Registry) -> None:
        """Show the queue and the work on a metrics page, by the names that client-go has."""
        queue, name = self._queue, self.name
        family = registry.known_gauge("workqueue_depth", "Items that wait.", ("name",))
        family.labels(name).read_from(lambda: len(queue))
        counter = registry.known_counter("workqueue_adds_total", "Items added.", ("name",))
        counter.labels(name).read_from(lambda: queue.adds)
        counter = registry.known_counter("workqueue_retries_total", "Retries.", ("name",))
        counter.labels(name).read_from(lambda: queue.retries)
        took = registry.known_histogram(
            "workqueue_work_duration_seconds", "How long one item took.", ("name",)
        )
        self._took = took.labels(name)
        waited = registry.known_histogram(
            "workqueue_queue_duration_seconds", "How long one item waited.", ("name",)
        )
        queue.on_wait = waited.labels(name).observe

    @property
    def name(self) -> str:
        return self._reconciler.name

    async def run(self, started: Callable[[], None]) -> None:
        for informer in self._wait_for:
            await informer.synced.wait()
        started()
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(self._workers):
                    workers.create_task(self._work())
        finally:
            self._queue.close()

    async def _work(self) -> None:
        while True:
            item = await self._queue.get()
            begun = time.perf_counter()
            try:
                await self._once(item)
            finally:
                self._queue.done(item)
                if self._took is not None:
                    self._took.observe(time.perf_counter() - begun)

    async def _once(self, item: Item) -> None:
        try:
            again = await self._reconciler.reconcile(item)
        except Terminal as error:
            self._queue.forget(item)
            self._log.error("given up until it changes", key=item, error=error)
        except (Conflict, AlreadyExists, NotFound) as error:
            # Somebody was quicker, or the cache is behind: the ordinary case under load.
            self._queue.retry(item)
            self._log.debug("again", key=item, error=error)
        except Forbidden as error:
            self._queue.retry(item)
            # Its namespace is being emptied: it is the next to go, and not worth a word.
            is_news = not namespace_is_leaving(error) and self._trouble.news(
                error, time.monotonic()
            )
            tell = self._log.error if is_news else self._log.debug
            tell("refused", key=item, error=told(error))
        except Unreachable as error:
            # Nothing is wrong with the item: it must not wait long once the server is back.
            self._queue.retry(item, AWAY_S)
            is_news = self._trouble.news(error, time.monotonic())
            tell = self._log.warning if is_news else self._log.debug
            tell("no API server", key=item, error=told(error))
        except Exception as error:  # noqa: BLE001 - the loop must outlive any one key
            self._queue.retry(item)
            self._log.error("failed", exc=error, key=item, failures=self._queue.failures(item))
        else:
            self._queue.forget(item)
            if again is not None:
                self._queue.add_after(item, again)


def namespace_is_leaving(error: ApiError) -> bool:
    """Whether a refusal means that the namespace takes nothing new since it is being deleted."""
    causes = (error.details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
