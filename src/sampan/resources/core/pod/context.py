"""What the rules of a container need to know of the pod around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sampan.api.meta import Json


@dataclass(frozen=True, slots=True)
class Context:
    volumes: Mapping[str, Json]
    """The volumes that are valid, by name."""
    claims: frozenset[str]
    """Names in spec.resourceClaims."""
    grace_s: int | None
    restart_policy: str
    host_users: bool
    os: str
    """spec.os.name"""
    is_pod: bool
    """A pod itself, not a template."""
