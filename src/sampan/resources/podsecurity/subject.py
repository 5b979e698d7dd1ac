"""A pod, or the template of one, as the checks see it; and the words that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sampan.api.meta import Json


@dataclass(frozen=True, slots=True)
class Complaint:
    """`reason (detail)`."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


@dataclass(frozen=True, slots=True)
class Subject:
    metadata: Json
    spec: Json

    @property
    def annotations(self) -> dict[str, str]:
        return self.metadata.get("annotations") or {}

    @property
    def context(self) -> Json:
        return self.spec.get("securityContext") or {}

    @property
    def windows(self) -> bool:
        return (self.spec.get("os") or {}).get("name") == "windows"

    @property
    def own_users(self) -> bool:
        """Root inside is nobody outside."""
        return self.spec.get("hostUsers") is False

    def containers(self) -> Iterator[Json]:
        for kind in ("initContainers", "containers", "ephemeralContainers"):
            yield from self.spec.get(kind) or ()

    def volumes(self) -> list[Json]:
        return self.spec.get("volumes") or []

    def who(self, is_bad: Callable[[Json], bool]) -> list[str]:
        """Names of the containers with such a security context."""
        return [each["name"] for each in self.containers() if is_bad(context_of(each))]

    def setters(self, is_bad: Callable[[Json], bool]) -> list[str]:
        """`pod` and `container "a"`: whose security context is such."""
        found = ["pod"] if is_bad(self.context) else []
        names = self.who(is_bad)
        return [*found, containers(names)] if names else found

    def values(self, key: str) -> set[Any]:
        """What all security contexts say there."""
        contexts = [self.context, *(context_of(each) for each in self.containers())]
        return {context[key] for context in contexts if key in context}


Check = Callable[[Subject], Complaint | None]


def context_of(container: Json) -> Json:
    return container.get("securityContext") or {}


def quoted(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def plural(word: str, count: int, many: str = "") -> str:
    return word if count == 1 else many or f"{word}s"


def containers(names: list[str]) -> str:
    return f"{plural('container', len(names))} {quoted(names)}"


def uses(count: int) -> str:
    return plural("uses", count, "use")
