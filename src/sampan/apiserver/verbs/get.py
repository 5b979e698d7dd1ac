"""GET of one object, from memory."""

from __future__ import annotations

from sampan.api.errors import NotFound
from sampan.apiserver.answers import answer
from sampan.apiserver.call import Call
from sampan.apiserver.served import Served
from sampan.std.http import Response


def get(served: Served, call: Call) -> Response:
    call.check_form(served, listing=False)
    info = call.info
    item = served.collection.get(info.namespace if served.id.namespaced else "", info.name)
    if item is None:
        raise NotFound.of(served.id, info.name)
    return answer(call, call.form(served).single(item))
