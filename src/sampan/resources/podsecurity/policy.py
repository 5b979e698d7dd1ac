"""Which level of security a namespace asks for, in its labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from sampan.resources import rules
from sampan.resources.rules import Errors

PREFIX = "pod-security.kubernetes.io/"
NEWEST = 10**9
"""Minor version of `latest`."""

_VERSION = re.compile(r"v1\.([0-9]|[1-9][0-9]*)")


class Level(IntEnum):
    """From lax to strict."""

    PRIVILEGED = 0
    BASELINE = 1
    RESTRICTED = 2


_LEVELS = {level.name.lower(): level for level in Level}


@dataclass(frozen=True, slots=True)
class Standard:
    """A level as some version of Kubernetes 1.x defined it."""

    level: Level = Level.PRIVILEGED
    minor: int = NEWEST

    def __str__(self) -> str:
        version = "latest" if self.minor == NEWEST else f"v1.{self.minor}"
        return f"{self.level.name.lower()}:{version}"


@dataclass(frozen=True, slots=True)
class Policy:
    enforce: Standard = field(default_factory=Standard)
    audit: Standard = field(default_factory=Standard)
    warn: Standard = field(default_factory=Standard)


def of(labels: Mapping[str, str]) -> tuple[Policy, Errors]:
    """There is always a policy; of labels that say nothing sensible the strict one is enforced."""
    errors: Errors = []
    enforce = _standard(labels, "enforce", Level.RESTRICTED, errors)
    audit = _standard(labels, "audit", Level.PRIVILEGED, errors)
    warn = _standard(labels, "warn", Level.PRIVILEGED, errors)
    level_is_said = labels.get(f"{PREFIX}enforce") in _LEVELS
    if level_is_said and f"{PREFIX}warn" not in labels and enforce.level > warn.level:
        own = f"{PREFIX}warn-version" in labels
        warn = replace(enforce, minor=warn.minor) if own else enforce
    return Policy(enforce, audit, warn), errors


def _standard(labels: Mapping[str, str], mode: str, fallback: Level, errors: Errors) -> Standard:
    level, minor = Level.PRIVILEGED, NEWEST
    key = PREFIX + mode
    said = labels.get(key)
    if said is not None:
        level = _LEVELS.get(said, fallback)
        if said not in _LEVELS:
            errors += rules.invalid(
                f"metadata.labels[{key}]", said, f"must be one of {', '.join(_LEVELS)}"
            )
    key += "-version"
    said = labels.get(key)
    if said is not None and said != "latest":
        match = _VERSION.fullmatch(said)
        if match is None:
            says = 'must be "latest" or "v1.x"'
            errors += rules.invalid(f"metadata.labels[{key}]", said, says)
        else:
            minor = int(match[1])
    return Standard(level, minor)
