"""Which Services select a pod: the wake-up calls of the endpoint controllers.

A Service is indexed by one pair of its selector, so that a pod's change asks a few Services and
not all of its namespace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sampan.api import kinds
from sampan.api.meta import Json, Key, key_of
from sampan.controllers.deps import Deps
from sampan.controllers.endpoint_pods import signature
from sampan.loop.informer import Informer


def by_selector(service: Json) -> Iterable[str]:
    """For an index: namespace and the first pair of the selector."""
    selector = service["spec"].get("selector")
    if not selector:
        return ()
    name = min(selector)
    return (f"{service['metadata']['namespace']}|{name}={selector[name]}",)


def by_label(pod: Json) -> Iterable[str]:
    """For an index: every label of a pod, in the same form."""
    meta = pod["metadata"]
    labels = meta.get("labels")
    if not labels:
        return ()
    return [f"{meta['namespace']}|{name}={value}" for name, value in labels.items()]


def by_match_labels(obj: Json) -> Iterable[str]:
    """For an index of objects with a label selector: namespace and one of the pairs that it asks
    for, or the namespace alone where it asks for none.
    """
    namespace = obj["metadata"]["namespace"]
    wanted = (obj["spec"].get("selector") or {}).get("matchLabels")
    if not wanted:
        return (f"{namespace}|",)
    name = min(wanted)
    return (f"{namespace}|{name}={wanted[name]}",)


class Selecting:
    """Services and Pods, joined by selectors; `wake` is called with the key of a Service whose
    endpoints may have changed.
    """

    def __init__(self, deps: Deps, wake: Callable[[Key], None]) -> None:
        self.services: Informer = deps.informers.of(
            kinds.SERVICES, indexers={"selector": by_selector}
        )
        self.pods: Informer = deps.informers.of(kinds.PODS, indexers={"label": by_label})
        self._wake = wake
        self.services.on_change(self._service_changed)
        self.pods.on_change(self._pod_changed)

    def pods_of(self, service: Json) -> list[Json]:
        """The pods that a Service selects."""
        selector = service["spec"].get("selector") or {}
        found: list[Json] = []
        for value in by_selector(service):
            found = self.pods.by("label", value)
        return [pod for pod in found if _selects(selector, pod)]

    def services_of(self, pod: Json) -> list[Json]:
        return [
            service
            for value in by_label(pod)
            for service in self.services.by("selector", value)
            if _selects(service["spec"]["selector"], pod)
        ]

    def _service_changed(self, old: Json | None, new: Json | None) -> None:
        self._wake(key_of(new or old or {}))

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        is_same = old is not None and new is not None and signature(old) == signature(new)
        if old and new and old["metadata"].get("labels") == new["metadata"].get("labels"):
            if is_same:
                return
            old = None
        before, after = self._keys_of(old), self._keys_of(new)
        # Where only labels changed, those that select it as before have nothing new to say.
        for key in sorted(before ^ after if is_same else before | after):
            self._wake(key)

    def _keys_of(self, pod: Json | None) -> set[Key]:
        return {key_of(service) for service in self.services_of(pod)} if pod is not None else set()


def _selects(selector: Json, pod: Json) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, value in selector.items())
