"""POST to a collection."""

from __future__ import annotations

from sampan.apiserver.answers import answer
from sampan.apiserver.cacher.item import Item
from sampan.apiserver.call import Call
from sampan.apiserver.options import write_options
from sampan.apiserver.reading import read_object
from sampan.apiserver.registry import create as registry
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.served import Served
from sampan.std.http import Response


async def create(served: Served, call: Call, parts: Parts) -> Response:
    call.check_form(served, listing=False)
    options = write_options(call.query, "CreateOptions")
    obj = read_object(call, served, options.validation)
    done = await registry.create(parts, served, call, obj, options)
    return written(served, call, done, 201)


def written(served: Served, call: Call, done: Item | dict[str, object], status: int) -> Response:
    """The answer to a write: what is stored, or what would have been."""
    form = call.form(served)
    body = form.single(done) if isinstance(done, Item) else form.of(done)
    return answer(call, body, status)
