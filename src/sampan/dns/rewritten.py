"""What a rule of *rewrite* makes of a query, and how the reply is put right again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from sampan.dns.message import Edns, Record
from sampan.dns.plugin import Query, Reply


class Undo(NamedTuple):
    """What a rule does to a reply: to each record, or to the whole."""

    record: Callable[[Record], Record] | None = None
    reply: Callable[[Query, Reply], Awaitable[Reply]] | None = None
    options: Callable[[Edns], Edns] | None = None


class Rewritten(NamedTuple):
    query: Query
    undo: tuple[Undo, ...] = ()
    done: bool = True
    """False for a rule that did not apply, and yet left an OPT record in the query."""


Rewrite = Callable[[Query], Rewritten | None]
