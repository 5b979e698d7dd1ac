"""GET of a collection: from memory, or from the store's history for pages of an older moment."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sampan.api.errors import BadRequest, Expired, Timeout, Unclassified
from sampan.api.meta import Json
from sampan.apiserver import resume
from sampan.apiserver.answers import answer
from sampan.apiserver.cacher.cacher import Cacher, prefix_of, split_key
from sampan.apiserver.cacher.item import Item, body_of
from sampan.apiserver.cacher.watcher import Selection
from sampan.apiserver.call import Call
from sampan.apiserver.options import ListOptions, list_options
from sampan.apiserver.render import list_meta
from sampan.apiserver.selection import selection_for
from sampan.apiserver.served import Served
from sampan.std.http import Response
from sampan.store.base import Compacted, FutureRevision

RETRY_S = 1
_NUMBER = re.compile(r"[0-9]+")
PAGE = 500


@dataclass(frozen=True, slots=True)
class Slice:
    """What one answer holds."""

    items: list[Item]
    revision: int
    resume: str = ""
    remaining: int = 0

    @property
    def meta(self) -> Json:
        return list_meta(self.revision, self.resume, self.remaining)


async def list_(served: Served, call: Call, cacher: Cacher) -> Response:
    call.check_form(served, listing=True)
    options = list_options(call.query, watch=False)
    found = await slice_of(served, call.info.namespace, options, cacher)
    return answer(call, call.form(served).list(found.items, found.meta))


async def slice_of(served: Served, namespace: str, options: ListOptions, cacher: Cacher) -> Slice:
    """The objects that were asked for. Raises BadRequest, Expired, Timeout."""
    space = namespace if served.id.namespaced else ""
    selection = selection_for(served, space, options.labels, options.fields)
    if options.resume:
        revision, after = resume.read(options)
        return await _page_at(served, selection, cacher, _limit(options), revision, after)
    try:
        version = revision_of(options.version)
    except Unclassified as error:
        raise BadRequest(f"invalid resource version: {error.message}") from error
    exact = options.match == "Exact" or (
        bool(version) and bool(options.limit) and not options.match
    )
    await reached(cacher, version)
    if exact and version:
        return await _page_at(served, selection, cacher, options.limit, version, None)
    return _page_now(served, selection, cacher, _limit(options), None)


def _limit(options: ListOptions) -> int:
    """Who takes any state gets it whole: it comes from memory, and costs nobody a read."""
    return 0 if options.version == "0" else options.limit


def revision_of(text: str) -> int:
    """Raises Unclassified, as upstream where a single object or a watch is asked for."""
    if not text:
        return 0
    why = "" if _NUMBER.fullmatch(text) else "invalid syntax"
    if not why and int(text) >= 1 << 64:
        why = "value out of range"
    if why:
        parsing = f'strconv.ParseUint: parsing "{text}": {why}'
        raise Unclassified(f'resourceVersion: Invalid value: "{text}": {parsing}')
    return int(text)


async def reached(cacher: Cacher, revision: int) -> None:
    """Wait a little for a revision. Raises Timeout, as upstream for one from the future."""
    if cacher.revision >= revision:
        return
    if not await cacher.reaches(revision):
        raise too_large(revision, cacher.revision)


def too_large(revision: int, current: int) -> Timeout:
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return Timeout(
        f"Timeout: Too large resource version: {revision}, current: {current}",
        details={"causes": [cause], "retryAfterSeconds": RETRY_S},
    )


def _page_now(
    served: Served,
    selection: Selection,
    cacher: Cacher,
    limit: int,
    after: tuple[str, str] | None,
    revision: int = 0,
) -> Slice:
    collection = served.collection
    shown = revision or cacher.revision
    if selection.name and after is None:
        spaces = (
            [selection.namespace]
            if selection.namespace or not served.id.namespaced
            else (collection.namespaces())
        )
        found = [
            item
            for space in spaces
            if (item := collection.get(space, selection.name)) is not None
            and selection.matches(item)
        ]
        return Slice(found, shown)
    source = collection.items(selection.namespace, after)
    return _cut(_matching(source, selection), selection, limit, shown)


def _matching(items: Iterable[Item], selection: Selection) -> Iterable[Item]:
    if not selection.selective:
        return items
    name, matches = selection.name, selection.matches
    return (item for item in items if (not name or item.name == name) and matches(item))


def _cut(items: Iterable[Item], selection: Selection, limit: int, revision: int) -> Slice:
    if not limit:
        return Slice(list(items), revision)
    found: list[Item] = []
    remaining = 0
    for item in items:
        if len(found) < limit:
            found.append(item)
            continue
        remaining += 1
        if selection.selective:
            break
    if not remaining:
        return Slice(found, revision)
    token = resume.write(revision, found[-1].namespace, found[-1].name)
    return Slice(found, revision, token, 0 if selection.selective else remaining)


async def _page_at(
    served: Served,
    selection: Selection,
    cacher: Cacher,
    limit: int,
    revision: int,
    after: tuple[str, str] | None,
) -> Slice:
    """A page of the collection as it was. Memory serves it if nothing changed since."""
    inconsistent = revision < 0
    if inconsistent or served.collection.changed <= revision:
        shown = cacher.revision if inconsistent else revision
        return _page_now(served, selection, cacher, limit, after, shown)
    try:
        return await _from_history(served, selection, cacher, limit, revision, after)
    except Compacted as error:
        raise expired(after) from error
    except FutureRevision as error:
        raise too_large(revision, error.current) from error


async def _from_history(
    served: Served,
    selection: Selection,
    cacher: Cacher,
    limit: int,
    revision: int,
    after: tuple[str, str] | None,
) -> Slice:
    """From the store, reading no further than the page goes."""
    stored = served.stored
    root = prefix_of(stored.group, stored.plural)
    prefix = root + (selection.namespace + "/" if selection.namespace else "")
    last = ""
    if after is not None:
        last = root + ("/".join(after) if served.id.namespaced else after[1])
    found: list[Item] = []
    size = limit if limit and not selection.selective else PAGE
    while True:
        page = await cacher.store.list(prefix, after=last, limit=size, revision=revision)
        for entry in page.entries:
            _, namespace, name = split_key(entry.key)
            body = body_of(entry.value, entry.modified)
            item = Item(namespace, name, entry.modified, body, entry.created)
            if selection.covers(item) and selection.matches(item):
                found.append(item)
        if not selection.selective and limit and len(found) >= limit:
            last_one = found[-1]
            token = resume.write(revision, last_one.namespace, last_one.name) if page.more else ""
            return Slice(found, revision, token, page.remaining)
        if not page.more or (limit and len(found) > limit):
            return _cut(found, selection, limit, revision)
        last = page.entries[-1].key


def expired(after: tuple[str, str] | None) -> Expired:
    """410, with a token that goes on from the same place at today's state."""
    if after is None:
        return Expired(
            "The resourceVersion for the provided list is too old.",
        )
    text = (
        "The provided continue parameter is too old to display a consistent list result. You can "
        "start a new list without the continue parameter, or use the continue token in this "
        "response to retrieve the remainder of the results. Continuing with the provided token "
        "results in an inconsistent list - objects that were created, modified, or deleted between "
        "the time the first chunk was returned and now may show up in the list."
    )
    error = ExpiredPage(text)
    error.resume = resume.write(-1, *after)
    return error


class ExpiredPage(Expired):
    """410 whose metadata carries on."""

    resume = ""

    def status(self) -> Json:
        body = super().status()
        body["metadata"] = {"continue": self.resume}
        return body
