"""What changed in a spec that may not change, as lines to read."""

from __future__ import annotations

import difflib
import json

from sampan.api.meta import Json

CONTEXT = 3


def difference(old: Json, new: Json) -> str:
    """A unified difference of both as JSON, fields by name."""
    before, after = (json.dumps(each, indent=1, sort_keys=True).splitlines() for each in (old, new))
    lines = list(difflib.unified_diff(before, after, lineterm="", n=CONTEXT))[2:]
    return "".join(f"{line}\n" for line in lines)
