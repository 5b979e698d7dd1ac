"""*view* lets a block answer only those queries for which an expression is true."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sampan.dns.arguments import ONCE
from sampan.dns.corefile import CorefileError
from sampan.dns.expression import BadExpression, Evaluate, compiled
from sampan.dns.expression_functions import ASKED, environment
from sampan.dns.plugin import Handler, Plugin, Query, Reply
from sampan.dns.setup import Args


class View(Plugin):
    def __init__(self) -> None:
        self.view = ""
        self.conditions: list[Evaluate] = []

    async def answer(self, query: Query, following: Handler) -> Reply:
        return await following(query)

    def metadata(self, query: Query) -> Mapping[str, Callable[[], str]]:
        return {"view/name": lambda: self.view}

    def accepts(self, query: Query) -> bool:
        """Whether all expressions are true; one that cannot be evaluated is not."""
        known = environment(query)
        try:
            return all(condition(known) is True for condition in self.conditions)
        except (LookupError, TypeError, ValueError, AttributeError):
            return False


def setup(args: Args) -> Plugin:
    view = View()
    for number, words in enumerate(args.places()):
        if number:
            raise CorefileError(ONCE)
        if len(words) != 1:
            raise args.wrong_count()
        args.block.view = view.view = words[0]
        args.block.filter = view.accepts
        for name in args.properties():
            if name != "expr":
                raise args.unknown()
            try:
                view.conditions.append(compiled(" ".join(args.rest()), ASKED).run)
            except BadExpression as bad:
                raise CorefileError(str(bad)) from bad
    return view
