"""What changed in a spec that may not change, as lines to read."""

from __future__ import annotations

import difflib
import json

from sampan.api.meta import Json
from sampan.resources.core.layout import printed

CONTEXT = 3


def difference(old: Json, new: Json, struct: str) -> str:
    """A unified difference of two values of a core/v1 struct, printed as upstream does."""
    before, after = (_lines(printed(each, struct)) for each in (old, new))
    lines = list(difflib.unified_diff(before, after, lineterm="", n=CONTEXT))[2:]
    return "".join(f"{line}\n" for line in lines)


def _lines(value: Json) -> list[str]:
    text = json.dumps(value, indent=1, ensure_ascii=False)
    for plain, shown in (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e")):
        text = text.replace(plain, shown)
    return text.split("\n")
