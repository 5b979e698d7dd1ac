"""Pods that wait for a node: by priority, with a pause after each failure, woken by what may help.

    active    to be tried now, the most important first
    pausing   failed a moment ago, and something changed since: tried again when the pause ends,
              or sooner where nobody else waits to be tried
    erring    could not be tried or bound: tried again when the pause ends, and not sooner
    parked    failed, and nothing has changed that could help

A gated pod is not here at all.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sampan.api.meta import Key
from sampan.scheduler.pod import PodView
from sampan.std.clock import Clock

PAUSE_S = 1.0
PAUSE_MAX_S = 10.0
PARKED_MAX_S = 300.0
"""Parked pods are tried again after that, in case an event was missed."""
LOOK_S = 30.0
"""How often that is looked for."""
NEWS_KEPT = 256
"""So much of what happens while pods are tried is remembered; of more, everybody is woken."""

Concerned = Callable[[str, PodView], bool]
"""Whether a change may help this pod, which this filter stood in the way of."""


@dataclass(slots=True)
class Waiting:
    """A pod that wants a node, and how it fared."""

    pod: PodView
    since: float
    failures: int = 0
    ready_at: float = 0.0
    parked_at: float | None = None
    plugins: frozenset[str] = frozenset()
    place: int = 0
    """Where it stands in the heap; older places are void."""
    settled: bool = False
    """The caches were looked after once already."""


@dataclass
class Queue:
    """All pods without a node."""

    clock: Clock
    _pods: dict[Key, Waiting] = field(default_factory=dict)
    _active: list[tuple[int, float, int, Key]] = field(default_factory=list)
    _pausing: list[tuple[int, int, float, int, Key]] = field(default_factory=list)
    """By the second in which the pause ends, and then as those that are active."""
    _erring: list[tuple[float, int, Key]] = field(default_factory=list)
    _flying: dict[Key, int] = field(default_factory=dict)
    _parked: dict[str, dict[Key, None]] = field(default_factory=dict)
    """Filter -> the parked pods that it stood in the way of."""
    _places: int = 0
    _wakes: int = 0
    _news: deque[tuple[frozenset[str], Concerned | None]] = field(
        default_factory=lambda: deque(maxlen=NEWS_KEPT)
    )
    """What the last wakes were about."""
    _looked_at: float = 0.0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, pod: PodView) -> None:
        """A new pod, or a newer version of a waiting one; a change of what it asks for wakes it."""
        waiting = self._pods.get(pod.key)
        if waiting is None:
            waiting = self._pods[pod.key] = Waiting(pod, self.clock.monotonic())
            self._activate(waiting)
            return
        changed = waiting.pod.spec != pod.spec or waiting.pod.labels != pod.labels
        waiting.pod = pod
        if changed and pod.key not in self._flying:
            self._activate(waiting)

    def drop(self, key: Key) -> None:
        """The pod is gone, or has a node."""
        waiting = self._pods.pop(key, None)
        if waiting is not None:
            self._unpark(waiting)
        self._flying.pop(key, None)

    def get(self, key: Key) -> PodView | None:
        waiting = self._pods.get(key)
        return waiting.pod if waiting else None

    async def take(self) -> PodView:
        """The next pod to try; `failed` or `drop` must follow."""
        while True:
            self._end_pauses()
            waiting = self._pop() or self._pop_pausing()
            if waiting is not None:
                self._flying[waiting.pod.key] = self._wakes
                return waiting.pod
            await self._wait()

    def failed(self, key: Key, plugins: Iterable[str]) -> None:
        """No node would do; `plugins` are the filters that stood in the way."""
        waiting, wakes = self._pods.get(key), self._flying.pop(key, self._wakes)
        if waiting is None:
            return
        waiting.failures += 1
        self._unpark(waiting)
        waiting.plugins = frozenset(plugins)
        now = self.clock.monotonic()
        pause = min(PAUSE_S * 2 ** (waiting.failures - 1), PAUSE_MAX_S)
        waiting.ready_at = now + pause
        if not waiting.plugins or self._missed(waiting, wakes):
            self._pause(waiting)
        else:
            waiting.parked_at = now
            waiting.place = 0
            for plugin in waiting.plugins:
                self._parked.setdefault(plugin, {})[key] = None

    def again(self, key: Key) -> None:
        """To be tried once more at once, as if it had not been tried."""
        waiting = self._pods.get(key)
        self._flying.pop(key, None)
        if waiting is not None:
            waiting.settled = True
            self._activate(waiting)

    def is_settled(self, key: Key) -> bool:
        """Whether it failed before, or is tried `again`."""
        waiting = self._pods.get(key)
        return waiting is None or waiting.settled or waiting.failures > 0

    def wake(self, plugins: Iterable[str], concerned: Concerned | None = None) -> None:
        """Something changed that these filters look at, for all pods or those `concerned`."""
        names = frozenset(plugins)
        self._wakes += 1
        self._news.append((names, concerned))
        for plugin in names & self._parked.keys():
            for key in list(self._parked.get(plugin, ())):
                waiting = self._pods[key]
                if concerned is None or concerned(plugin, waiting.pod):
                    self._pause(waiting)

    def __len__(self) -> int:
        return len(self._pods)

    def counts(self) -> dict[str, int]:
        """How many are where, for the metrics."""
        parked = sum(waiting.parked_at is not None for waiting in self._pods.values())
        places = [entry[-2:] for entry in (*self._pausing, *self._erring)]
        pausing = sum(key in self._pods and self._pods[key].place == at for at, key in places)
        active = len(self._pods) - parked - pausing - len(self._flying)
        return {"active": max(active, 0), "backoff": pausing, "unschedulable": parked}

    def _unpark(self, waiting: Waiting) -> None:
        if waiting.parked_at is None:
            return
        waiting.parked_at = None
        for plugin in waiting.plugins:
            pods = self._parked[plugin]
            del pods[waiting.pod.key]
            if not pods:
                del self._parked[plugin]

    def _activate(self, waiting: Waiting) -> None:
        self._unpark(waiting)
        self._places += 1
        waiting.place = self._places
        entry = (-waiting.pod.priority, waiting.since, waiting.place, waiting.pod.key)
        heapq.heappush(self._active, entry)
        self._changed.set()

    def _pause(self, waiting: Waiting) -> None:
        if waiting.ready_at <= self.clock.monotonic():
            self._activate(waiting)
            return
        self._unpark(waiting)
        self._places += 1
        waiting.place = self._places
        place, key = waiting.place, waiting.pod.key
        if waiting.plugins:
            order = (int(waiting.ready_at), -waiting.pod.priority, waiting.since)
            heapq.heappush(self._pausing, (*order, place, key))
        else:
            heapq.heappush(self._erring, (waiting.ready_at, place, key))
        self._changed.set()

    def _pop(self) -> Waiting | None:
        while self._active:
            _, _, place, key = heapq.heappop(self._active)
            waiting = self._pods.get(key)
            if waiting is not None and waiting.place == place:
                waiting.place = 0
                return waiting
        return None

    def _pop_pausing(self) -> Waiting | None:
        """Nobody is active: whoever's pause would end first need not wait for it."""
        while self._pausing:
            *_, place, key = heapq.heappop(self._pausing)
            waiting = self._pods.get(key)
            if waiting is not None and waiting.place == place:
                waiting.place = 0
                return waiting
        return None

    def _missed(self, waiting: Waiting, since: int) -> bool:
        """Whether something that may help it changed while it was tried."""
        count = self._wakes - since
        if count > len(self._news):
            return True
        return any(
            concerned is None or concerned(plugin, waiting.pod)
            for names, concerned in list(self._news)[len(self._news) - count :]
            for plugin in names & waiting.plugins
        )

    def _end_pauses(self) -> None:
        now = self.clock.monotonic()
        ended: list[tuple[int, Key]] = []
        while self._pausing and self._pausing[0][0] < int(now):
            *_, place, key = heapq.heappop(self._pausing)
            ended.append((place, key))
        while self._erring and self._erring[0][0] <= now:
            _, place, key = heapq.heappop(self._erring)
            ended.append((place, key))
        for place, key in ended:
            waiting = self._pods.get(key)
            if waiting is not None and waiting.place == place:
                self._activate(waiting)
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            for waiting in list(self._pods.values()):
                if waiting.parked_at is not None and now - waiting.parked_at >= PARKED_MAX_S:
                    self._activate(waiting)

    async def _wait(self) -> None:
        """Until something is put here, or the next pause ends."""
        self._changed.clear()
        until = self._erring[0][0] if self._erring else self.clock.monotonic() + LOOK_S
        delay = max(until - self.clock.monotonic(), 0)
        timer = asyncio.ensure_future(self.clock.sleep(delay))
        news = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((timer, news), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            news.cancel()
