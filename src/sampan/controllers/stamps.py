"""Times as objects carry them: RFC 3339 in UTC, whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime

from sampan.api.meta import Json


def stamp(now: float) -> str:
    """Seconds since the epoch as metav1.Time."""
    return datetime.fromtimestamp(now, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_stamp(now: float) -> str:
    """Seconds since the epoch as metav1.MicroTime."""
    return datetime.fromtimestamp(now, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds(text: str | None) -> float:
    """A time as seconds since the epoch; 0 for none."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else 0.0


def created(obj: Json) -> float:
    return seconds(obj["metadata"].get("creationTimestamp"))
