"""GET of one object, from memory."""

from __future__ import annotations

from sampan.api.errors import NotFound
from sampan.apiserver.answers import answer
from sampan.apiserver.cacher.cacher import Cacher
from sampan.apiserver.call import Call
from sampan.apiserver.options import one
from sampan.apiserver.served import Served
from sampan.apiserver.verbs.list import reached, revision_of
from sampan.std.http import Response


async def get(served: Served, call: Call, cacher: Cacher) -> Response:
    call.check_form(served, listing=False)
    if "resourceVersion" in call.query:
        await reached(cacher, revision_of(one(call.query, "resourceVersion")))
    info = call.info
    item = served.collection.get(info.namespace if served.id.namespaced else "", info.name)
    if item is None:
        raise NotFound.of(served.id, info.name)
    return answer(call, call.form(served).single(item))
