"""What the API is told about one pod, kept between two tellings."""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.kubelet import lastwords, pods
from sampan.kubelet.containerstatus import Hold
from sampan.kubelet.kit import Kit
from sampan.kubelet.status import OWN_CONDITIONS, View, pod_status


class Saying:
    """Of one pod."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.status: Json | None = None
        """The last one that was said."""
        self._messages: dict[str, str] = {}

    def say(
        self,
        pod: Json,
        api: Json | None,
        holds: dict[str, Hold],
        *,
        failure: tuple[str, str] | None = None,
        terminated: bool = False,
        lazily: bool = False,
    ) -> None:
        """`api` is the object that carries the status: the pod, or the mirror of a static one."""
        seen = self.kit.runtime.observe(pods.uid_of(pod))
        for state in (run for runs in seen.containers.values() for run in runs):
            if state.exit is not None and state.spec.id not in self._messages:
                words = lastwords.message(pod, state, self.kit.places)
                self._messages[state.spec.id] = words
        view = View(
            {**pod, "status": self._base((api or pod).get("status") or {})},
            seen,
            self.kit.clock.now(),
            self.kit.prober.health(),
            {} if terminated else holds,
            self.kit.node.host_ips,
            self._messages,
            failure,
            terminated,
        )
        self.status = pod_status(view)
        if api is not None:
            self.kit.statuses.set(api, self.status, lazily=lazily)

    def forget(self, container_id: str) -> None:
        self._messages.pop(container_id, None)

    def started_at(self, pod: Json) -> float | None:
        return pods.time_of((self.status or pod.get("status") or {}).get("startTime"))

    def _base(self, known: Json) -> Json:
        """Ours as last said, with what others have written meanwhile."""
        if self.status is None:
            return known
        own = [c for c in self.status["conditions"] if c["type"] in OWN_CONDITIONS]
        others = [c for c in known.get("conditions") or () if c["type"] not in OWN_CONDITIONS]
        return {**known, **self.status, "conditions": own + others}
