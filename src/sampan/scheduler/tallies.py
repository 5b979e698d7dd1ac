"""How many pods on each node a selector finds, for all selectors that were asked for lately.

A count changes with the one pod that comes or goes, and only the counts that can concern it are
looked at: those whose selector names one of its labels. A new count looks at the pods that have
that label, not at all.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sampan.api.meta import Key
from sampan.api.selectors import Selector
from sampan.scheduler.pod import PodView

MOST = 4096
"""So many selectors are counted all the time; the one not asked for longest is forgotten."""

Mark = tuple[str, str, str]
"""A namespace and a label with its value."""


@dataclass(slots=True)
class Tally:
    """How many pods on each node are found by a predicate."""

    finds: Callable[[PodView], bool]
    mark: Mark | None
    """Only pods with this mark can be found; None for any."""
    nodes: Counter[str] = field(default_factory=Counter)

    def change(self, pod: PodView, node: str, sign: int) -> None:
        if self.finds(pod):
            self.nodes[node] += sign
            if not self.nodes[node]:
                del self.nodes[node]


class Tallies:
    """All counts, and the pods by their labels."""

    def __init__(self) -> None:
        self._tallies: OrderedDict[object, Tally] = OrderedDict()
        self._by_mark: dict[Mark | None, dict[object, Tally]] = {}
        self._pods: dict[Mark, dict[Key, PodView]] = {}

    def change(self, pod: PodView, node: str, sign: int) -> None:
        """A pod came to a node (1), or left it (-1)."""
        for tally in self._by_mark.get(None, {}).values():
            tally.change(pod, node, sign)
        for mark in _marks(pod):
            pods = self._pods.setdefault(mark, {})
            if sign > 0:
                pods[pod.key] = pod
            else:
                pods.pop(pod.key, None)
                if not pods:
                    del self._pods[mark]
            for tally in self._by_mark.get(mark, {}).values():
                tally.change(pod, node, sign)

    def count(
        self,
        key: object,
        finds: Callable[[PodView], bool],
        mark: Mark | None,
        placed: Mapping[Key, PodView],
    ) -> Mapping[str, int]:
        """node -> how many of its pods are found; `key` stands for what is counted."""
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(finds, mark)
            self._by_mark.setdefault(mark, {})[key] = tally
            for pod in (placed if mark is None else self._pods.get(mark, {})).values():
                tally.change(pod, pod.node, 1)
            if len(self._tallies) > MOST:
                self._forget(next(iter(self._tallies)))
        self._tallies.move_to_end(key)
        return tally.nodes

    def mark_of(self, namespace: str, selector: Selector) -> Mark | None:
        """The rarest label that a pod must have for the selector to find it."""
        marks = [
            (namespace, requirement.key, requirement.values[0])
            for requirement in selector.requirements
            if requirement.operator == "In" and len(requirement.values) == 1
        ]
        return min(marks, key=lambda mark: len(self._pods.get(mark, ())), default=None)

    def clear(self) -> None:
        """Begin all counts anew."""
        self._tallies.clear()
        self._by_mark.clear()

    def _forget(self, key: object) -> None:
        mark = self._tallies.pop(key).mark
        known = self._by_mark[mark]
        del known[key]
        if not known:
            del self._by_mark[mark]


def _marks(pod: PodView) -> Iterable[Mark]:
    return ((pod.namespace, name, value) for name, value in pod.labels.items())
