"""Connection tracking in memory: flows are put in by the test, and cut off by the code under it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from sampan.linux.base.conntrack import Flow, Leading, Place


class FakeConntrack:
    """Implements `Conntrack`."""

    def __init__(self, flows: Iterable[Flow] = ()) -> None:
        self.known = list(flows)
        self.tuned: dict[str, int] = {}
        self.forbidden: frozenset[str] = frozenset()
        """Limits that this namespace does not let us set."""
        self.looks = 0
        self.others = 0
        """Connections that are no UDP flows."""
        self.old = False
        """A kernel that forgets no flows unseen."""
        self.forgotten: list[Leading] = []

    def flows(
        self,
        family: int,
        *,
        destination: str = "",
        port: int = 0,
        among: AbstractSet[Place] = frozenset(),
    ) -> Iterable[Flow]:
        self.looks += 1
        return [
            flow
            for flow in self.known
            if flow.family == family
            and destination in ("", flow.destination)
            and port in (0, flow.destination_port)
            and (
                not among
                or (flow.destination, flow.destination_port) in among
                or ("", flow.destination_port) in among
            )
        ]

    def delete(self, flows: Iterable[Flow]) -> int:
        count = 0
        for flow in flows:
            if flow in self.known:
                self.known.remove(flow)
                count += 1
        return count

    def forget(self, leading: Leading) -> bool:
        self.forgotten.append(leading)
        if self.old:
            return False
        self.known = [flow for flow in self.known if not _matches(flow, leading)]
        return True

    def count(self) -> int:
        return len(self.known) + self.others

    def liberal(self) -> bool:
        return self.tuned.get("nf_conntrack_tcp_be_liberal", 0) != 0

    def tune(self, values: Mapping[str, int]) -> Mapping[str, str]:
        allowed = {name: value for name, value in values.items() if name not in self.forbidden}
        self.tuned.update(allowed)
        return dict.fromkeys(values.keys() - allowed.keys(), "Permission denied")


def _matches(flow: Flow, leading: Leading) -> bool:
    return (
        flow.family == leading.family
        and leading.destination in ("", flow.destination)
        and leading.port in (0, flow.destination_port)
        and leading.answering in ("", flow.answering)
        and leading.answering_port in (0, flow.answering_port)
    )
