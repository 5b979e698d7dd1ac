"""What becomes of a decision is told by events and conditions; who must make room is deleted."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.api import kinds
from sampan.api.errors import ApiError, NotFound
from sampan.api.meta import Json
from sampan.client.client import Client, PatchKind
from sampan.client.transport import Unreachable
from sampan.loop.events import Recorder
from sampan.scheduler import preemption, status
from sampan.scheduler.decision import Unplaced
from sampan.scheduler.metrics import Metrics
from sampan.scheduler.pod import PodView
from sampan.scheduler.volume_binder import NotBound
from sampan.std import log
from sampan.std.clock import Clock

_LOG = log.get("scheduler")


class Teller:
    """Writes for all profiles, each in its own name."""

    def __init__(
        self, client: Client, recorders: Mapping[str, Recorder], clock: Clock, metrics: Metrics
    ) -> None:
        self._client = client
        self._recorders = recorders
        self._clock = clock
        self._metrics = metrics

    def bound(self, pod: PodView, node: str) -> None:
        text = f"Successfully assigned {pod.key} to {node}"
        recorder = self._recorders[pod.scheduler]
        recorder.event(pod.obj, "Normal", "Scheduled", text, action="Binding")

    async def refused(
        self, pod: PodView, failed: Unplaced, plan: preemption.Plan | preemption.NoRoom
    ) -> None:
        """The event and the condition, and the end of those who must make room."""
        message, nominated = failed.message, None
        if isinstance(plan, preemption.Plan):
            await self._make_room(pod, plan)
            nominated = plan.node
        else:
            message = f"{message} {plan.message}".rstrip()
            nominated = "" if pod.nominated and plan.final else None
        patch = status.unschedulable_patch(pod, message, nominated, self._clock.now())
        await self._failure(pod, message, patch)

    async def not_bound(self, pod: PodView, error: Exception) -> None:
        """A node was found, and the binding did not come about: no fault of the nodes."""
        if isinstance(error, (NotFound, Unreachable)):
            return  # nobody left to tell it of, or nobody to tell it to
        step = 'PreBind plugin "VolumeBinding"' if isinstance(error, NotBound) else (
            'Bind plugin "DefaultBinder"'
        )  # fmt: skip
        message = f"running {step}: {error}"
        now = self._clock.now()
        patch = status.unschedulable_patch(pod, message, None, now, reason=status.ERROR)
        await self._failure(pod, message, patch)

    async def _failure(self, pod: PodView, message: str, patch: Json | None) -> None:
        recorder, text = self._recorders[pod.scheduler], status.note(message)
        recorder.event(pod.obj, "Warning", "FailedScheduling", text, action="Scheduling")
        if patch is None:
            return
        try:
            await self._client.patch(
                kinds.PODS,
                pod.key.name,
                patch,
                namespace=pod.namespace,
                kind=PatchKind.STRATEGIC,
                subresource="status",
            )
        except (ApiError, Unreachable) as error:
            _LOG.debug("status not written", pod=pod.key, error=error)

    async def _make_room(self, pod: PodView, plan: preemption.Plan) -> None:
        for victim in plan.victims:
            if victim.terminating:
                continue
            try:
                await self._client.patch(
                    kinds.PODS,
                    victim.key.name,
                    status.disruption_patch(victim, pod.scheduler, self._clock.now()),
                    namespace=victim.namespace,
                    kind=PatchKind.STRATEGIC,
                    subresource="status",
                )
                await self._client.delete(
                    kinds.PODS, victim.key.name, victim.namespace, uid=victim.uid
                )
            except (ApiError, Unreachable) as error:
                _LOG.warning("a victim stays", pod=victim.key, error=error)
                continue
            text = f"Preempted by pod {pod.uid} on node {plan.node}"
            self._recorders[pod.scheduler].event(
                victim.obj, "Normal", "Preempted", text, action="Preempting", related=pod.obj
            )
        self._metrics.victims.observe(len(plan.victims))
