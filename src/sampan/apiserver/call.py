"""One request under way: what was sent, who asks, and what the client will be warned of."""

from __future__ import annotations

from dataclasses import dataclass, field

from sampan.apiserver.authn.user import User
from sampan.apiserver.negotiate import Wish, choose
from sampan.apiserver.options import Query, one, read_query
from sampan.apiserver.render import Form
from sampan.apiserver.request import RequestInfo
from sampan.apiserver.served import Served
from sampan.std.http import Request


@dataclass(slots=True)
class Call:
    """Made once per request after authorization; verbs and admission read it."""

    request: Request
    info: RequestInfo
    user: User
    query: Query = field(default_factory=dict)
    wish: Wish = field(default_factory=Wish)
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def form(self, served: Served) -> Form:
        """How the client wants the objects of a resource."""
        include = one(self.query, "includeObject") if self.wish.transform == "Table" else ""
        return served.form(self.wish.transform, include)


def call_for(request: Request, info: RequestInfo, user: User) -> Call:
    """Raises NotAcceptable when nothing that we have is wanted."""
    wish = choose(request.headers.get("accept", ""), streaming=info.verb == "watch")
    return Call(request, info, user, read_query(request.query), wish)
