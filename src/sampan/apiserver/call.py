"""One request under way: what was sent, who asks, and what the client will be warned of."""

from __future__ import annotations

from dataclasses import dataclass, field

from sampan.api.errors import BadRequest, NotAcceptable
from sampan.apiserver.authn.user import User
from sampan.apiserver.negotiate import Wish, choose
from sampan.apiserver.options import Query, one, read_query
from sampan.apiserver.render import Form
from sampan.apiserver.request import RequestInfo
from sampan.apiserver.served import Served
from sampan.std.http import Request

INCLUDES = ("", "Metadata", "None", "Object")


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
        wish = self.wish
        watching = self.info.verb == "watch"
        if not wish.transform or (watching and wish.transform == "PartialObjectMetadataList"):
            return served.whole  # upstream cannot make a list of an event's object
        include = one(self.query, "includeObject") if wish.transform == "Table" else ""
        return served.form(wish.transform, include, wish.version)

    def check_form(self, served: Served, *, listing: bool) -> None:
        """Raises NotAcceptable when a list is wanted of one object, or one object of a list, and
        BadRequest for an `includeObject` that no table knows.
        """
        wanted = self.wish.transform
        if not wanted:
            return
        if wanted == "Table":
            include = one(self.query, "includeObject")
            if include not in INCLUDES:
                raise BadRequest(
                    "Unable to convert to Table as requested: includeObject: Invalid value: "
                    f"\"{include}\": must be 'Metadata', 'Object', 'None', or empty"
                )
        elif listing != (wanted == "PartialObjectMetadataList"):
            rid = served.id
            package = rid.group.partition(".")[0] or "core"
            what = (
                f"a list (*{package}.{rid.kind}List)"
                if listing
                else (f"not a list (*{package}.{rid.kind})")
            )
            raise NotAcceptable(f"you requested {wanted}, but the requested object is {what}")


def call_for(request: Request, info: RequestInfo, user: User, *, custom: bool = False) -> Call:
    """Raises NotAcceptable when nothing that we have is wanted."""
    accept = request.headers.get("accept", "")
    verb = info.verb
    wish = choose(accept, streaming=verb == "watch", listing=verb == "list", custom=custom)
    return Call(request, info, user, read_query(request.query), wish)
