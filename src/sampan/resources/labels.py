"""Label selectors inside objects (metav1.LabelSelector): does one match, and how is it printed.

Selectors in query strings are another grammar and live in `api`.
"""

from __future__ import annotations

from collections.abc import Mapping

from sampan.api import selectors
from sampan.api.meta import Json


def matches(selector: Json | None, labels: Mapping[str, str]) -> bool:
    """An absent selector matches nothing, an empty one everything."""
    return selectors.from_object(selector).matches(labels)


def query(selector: Json | None) -> str:
    """The same selector as a query string would say it, by key: `a=b,c,d in (e,f)`."""
    if not selector:
        return ""
    parts = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    parts += [(each["key"], _expression(each)) for each in selector.get("matchExpressions") or ()]
    return ",".join(text for _, text in sorted(parts, key=lambda part: part[0]))


def _expression(requirement: Json) -> str:
    key, values = requirement["key"], ",".join(sorted(requirement.get("values") or ()))
    match requirement.get("operator"):
        case "In":
            return f"{key} in ({values})"
        case "NotIn":
            return f"{key} notin ({values})"
        case "DoesNotExist":
            return f"!{key}"
        case _:
            return str(key)


def text(selector: Json | None) -> str:
    """As tables and descriptions show it."""
    return query(selector) or "<none>"


def set_text(labels: Mapping[str, str] | None) -> str:
    """A plain map of labels, as tables show it."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"
