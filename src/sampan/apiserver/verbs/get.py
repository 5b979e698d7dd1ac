"""GET of one object, from memory."""

from __future__ import annotations

from sampan.api.errors import BadRequest, NotFound
from sampan.apiserver.answers import answer
from sampan.apiserver.call import Call
from sampan.apiserver.options import one
from sampan.apiserver.served import Served
from sampan.std.http import Response

INCLUDES = ("", "Metadata", "None", "Object")


def get(served: Served, call: Call) -> Response:
    check_include(call)
    info = call.info
    item = served.collection.get(info.namespace if served.id.namespaced else "", info.name)
    if item is None:
        raise NotFound.of(served.id, info.name)
    return answer(call, call.form(served).single(item))


def check_include(call: Call) -> None:
    """Raises BadRequest for an `includeObject` that no table knows."""
    if call.wish.transform != "Table":
        return
    include = one(call.query, "includeObject")
    if include not in INCLUDES:
        raise BadRequest(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{include}": '
            "must be 'Metadata', 'Object', 'None', or empty"
        )
