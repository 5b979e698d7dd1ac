"""Changes that the server itself makes to stored objects: no strategy, no admission, no owner."""

from __future__ import annotations

from collections.abc import Callable

from sampan.api.errors import NotFound
from sampan.api.meta import Json
from sampan.apiserver.cacher.item import Item
from sampan.apiserver.refusals import conflict
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.update import TRIES
from sampan.apiserver.served import Served


async def modify(
    parts: Parts,
    served: Served,
    namespace: str,
    name: str,
    change: Callable[[Json], Json],
    *,
    dry_run: bool = False,
) -> Item:
    """Read, change, store; again when somebody was faster. Raises NotFound and what `change`
    raises.
    """
    for _ in range(TRIES):
        item = served.collection.get(namespace, name)
        if item is None:
            raise NotFound.of(served.id, name)
        new = served.decode(change(served.current(item))).obj
        new["kind"], new["apiVersion"] = served.id.kind, served.id.api_version
        if dry_run:
            return item
        done = await parts.put(served, new, namespace, item.revision)
        if done is not None:
            return done
    raise conflict(served.id, name)
