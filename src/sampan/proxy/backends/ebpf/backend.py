"""The eBPF backend: sockets of pods and node connect to endpoints, packets from elsewhere meet
another backend's rules, which are whole by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from sampan.api.meta import Key
from sampan.linux.base.bpf import BpfError, SocketBalancer
from sampan.proxy.backend import Backend, BackendError
from sampan.proxy.backends.ebpf.sockets import Ends, pod_ranges, sockets
from sampan.proxy.model import Rules
from sampan.proxy.noticing import first_of, looked_at
from sampan.proxy.settings import Settings

Ops = tuple[Any, Ends, Ends]


class EbpfBackend:
    """Implements `Backend[Ops]`. `inner` makes the rules for all that sockets do not translate."""

    name = "ebpf"

    def __init__(self, inner: Backend[Any], balancer: SocketBalancer, settings: Settings) -> None:
        self._inner = inner
        self._balancer = balancer
        self._settings = settings
        self._synced = False
        self._turn = asyncio.Lock()
        """The balancer is looked at in a thread: never while it changes."""

    def probe(self) -> str:
        return self._inner.probe() or self._balancer.probe()

    def configure(self, settings: Settings) -> None:
        self._settings = settings
        self._inner.configure(settings)

    def render(self, key: Key, old: Rules | None, new: Rules | None) -> Ops:
        inner = self._inner.render(key, old, new)
        return inner, sockets(old, self._settings), sockets(new, self._settings)

    async def load(self, ops: Sequence[Ops]) -> None:
        """Rules first: a socket whose service is gone falls back to rules that are right."""
        await self._inner.load([inner for inner, _, _ in ops])
        gone = {one for _, old, _ in ops for one in old}
        wanted: Ends = {}
        before: Ends = {}
        for _, old, new in ops:
            before.update(old)
            wanted.update(new)
        try:
            async with self._turn:
                self._balancer.remove(sorted(gone - wanted.keys()))
                self._balancer.set(
                    {one: ends for one, ends in wanted.items() if before.get(one) != ends}
                )
        except BpfError as error:
            raise BackendError(f"ebpf: {error}") from error

    async def resync(self, model: Mapping[Key, Rules]) -> None:
        await self._inner.resync(model)
        wanted: Ends = {}
        for rules in model.values():
            wanted.update(sockets(rules, self._settings))
        try:
            async with self._turn:
                await asyncio.to_thread(self._sync_sockets, wanted)
                self._synced = True
        except BpfError as error:
            raise BackendError(f"ebpf: {error}") from error

    def _sync_sockets(self, wanted: Ends) -> None:
        there = self._balancer.start(pod_ranges(self._settings))
        self._balancer.remove([one for one in there if one not in wanted])
        self._balancer.set({one: ends for one, ends in wanted.items() if there.get(one) != ends})

    async def cleanup(self) -> None:
        try:
            await asyncio.to_thread(self._balancer.stop)
        except BpfError as error:
            raise BackendError(f"ebpf: {error}") from error

    async def disturbed(self) -> None:
        """The rules were touched, or somebody detached a program or changed a map."""
        await first_of(self._inner.disturbed(), looked_at(self._disturbed))

    async def _disturbed(self) -> bool:
        async with self._turn:
            return self._synced and not await asyncio.to_thread(self._balancer.whole)
