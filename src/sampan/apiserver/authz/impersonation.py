"""Impersonation: whom a request is to be done as, and whether its sender may.

There are five ways, tried in this order (the one that last led to success for this sender first):

    associated-node   a pod's account as the node that the pod runs on
    arbitrary-node    as any node                   } only the name may be said
    serviceaccount    as a ServiceAccount           }
    user-info         as anybody else, with groups, uid and extra
    legacy            the verb `impersonate`, for every request and subject alike

The first four ask twice: may the sender do *this* as such a subject (`impersonate-on:<way>:<verb>`
of the request itself), and may it be that subject (`impersonate:<way>`). Nobody who is refused
learns more than what the first way said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import unquote

from sampan.api.errors import BadRequest, Forbidden
from sampan.api.names import dns1123_subdomain
from sampan.apiserver.authn.user import (
    ANONYMOUS,
    AUTHENTICATED,
    MASTERS,
    NODE_PREFIX,
    NODES,
    UNAUTHENTICATED,
    User,
    service_account_user,
    split_service_account,
)
from sampan.apiserver.authz.attributes import Attributes, refusal
from sampan.resources.rules import domain_prefixed_path
from sampan.std.http import Request

EXTRA_PREFIX = "impersonate-extra-"
GROUP = "authentication.k8s.io"
LEGACY = "legacy"
NODE_NAME = "authentication.kubernetes.io/node-name"
KEYS_OF_NODE = "authentication.kubernetes.io/associated-node-keys"
MANY = 4
"""From so many groups or extras on, one question for all of them comes first."""
REMEMBERED = 10_000

Require = Callable[[Attributes], None]
"""Raises Forbidden."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to become somebody."""

    name: str
    fits: Callable[[User, User], bool]
    """(wanted, asker)"""

    @property
    def verb(self) -> str:
        return "impersonate" if self.name == LEGACY else f"impersonate:{self.name}"

    @property
    def constrained(self) -> bool:
        return self.name != LEGACY


class Impersonation:
    """`user_for` is asked for every request that names somebody else."""

    def __init__(self, require: Require) -> None:
        self._require = require
        self._last: dict[str, Way] = {}
        """The way that last succeeded, by the asker's name."""

    def user_for(self, request: Request, asked: Attributes) -> User:
        """Whom the request is done as; the asker where no header says otherwise. Raises Forbidden,
        BadRequest.
        """
        asker = asked.user
        if not any(key.startswith("impersonate-") for key in request.headers):
            return asker
        wanted = wanted_user(request)
        if wanted is None:
            return asker
        refused: Forbidden | None = None
        for way in self._ways(asker):
            if not way.fits(wanted, asker):
                continue
            try:
                found = self._become(way, wanted, asked)
            except Forbidden as error:
                refused = refused or error
                continue
            self._remember(asker.name, way)
            return found
        assert refused is not None  # the last way fits everybody
        raise refused

    def _ways(self, asker: User) -> Iterator[Way]:
        last = self._last.get(asker.name)
        if last is not None:
            yield last
        yield from (way for way in WAYS if way is not last)

    def _remember(self, name: str, way: Way) -> None:
        self._last.pop(name, None)
        self._last[name] = way
        if len(self._last) > REMEMBERED:
            del self._last[next(iter(self._last))]

    def _become(self, way: Way, wanted: User, asked: Attributes) -> User:
        if way.name == "associated-node":
            asked = replace(asked, user=_any_pod_of(asked.user))
        if way.constrained:
            verb = f"impersonate-on:{way.name}:{asked.verb}"
            self._require(replace(asked, verb=verb))
        for question in questions(way, wanted, asked.user):
            self._ask(question)
        return completed(way, wanted)

    def _ask(self, question: Attributes | tuple[Attributes, tuple[Attributes, ...]]) -> None:
        """One question, or one for all of many and then each."""
        if isinstance(question, Attributes):
            self._require(question)
            return
        for_all, each = question
        try:
            self._require(for_all)
        except Forbidden:
            for one in each:
                self._require(one)


def wanted_user(request: Request) -> User | None:
    """The subject as the headers say it. Raises BadRequest where they name no user."""
    headers = request.headers
    name = headers.get("impersonate-user", "")
    groups = _values(headers.get("impersonate-group", ""))
    uid = headers.get("impersonate-uid", "")
    extra = {
        unquote(key.removeprefix(EXTRA_PREFIX)): _values(value)
        for key, value in headers.items()
        if key.startswith(EXTRA_PREFIX)
    }
    wanted = User(name, uid, groups, extra)
    if name:
        return wanted
    if groups or uid or extra:
        raise BadRequest(
            f"requested {_go_user(wanted)} without impersonating a user name",
            headers={"x-content-type-options": "nosniff"},
        )
    return None


def questions(
    way: Way, wanted: User, asker: User
) -> Iterator[Attributes | tuple[Attributes, tuple[Attributes, ...]]]:
    """What must be allowed, in the order in which it is asked. Raises Forbidden for what may
    never be.
    """
    group = GROUP if way.constrained else ""
    yield _of_name(way, wanted, asker)
    if wanted.uid:
        yield Attributes(asker, way.verb, GROUP, "uids", name=wanted.uid)
    if wanted.groups:
        base = Attributes(asker, way.verb, group, "groups")
        if way.constrained:
            _check_groups(base, wanted.groups)
        each = tuple(replace(base, name=name) for name in wanted.groups)
        yield from _at_once(way, replace(base, name="*"), each)
    if wanted.extra:
        base = Attributes(asker, way.verb, GROUP, "userextras")
        if way.constrained:
            _check_extra(base, wanted)
        each = tuple(
            replace(base, subresource=key, name=value)
            for key, values in wanted.extra.items()
            for value in values
        )
        yield from _at_once(way, replace(base, subresource="*", name="*"), each)


def completed(way: Way, wanted: User) -> User:
    """With the groups that go without saying."""
    groups = wanted.groups
    account = split_service_account(wanted.name)
    if way.constrained and node_of(wanted.name):
        groups = (NODES,)
    elif account is not None and not groups:
        groups = service_account_user(*account).groups
    own = UNAUTHENTICATED if wanted.name == ANONYMOUS else AUTHENTICATED
    if own not in groups and UNAUTHENTICATED not in groups:
        groups = (*groups, own)
    return replace(wanted, groups=groups)


def node_of(name: str) -> str:
    """The node behind a user's name; empty where it is no node's."""
    node = name.removeprefix(NODE_PREFIX)
    return node if node != name and not dns1123_subdomain(node) else ""


def _of_name(way: Way, wanted: User, asker: User) -> Attributes:
    account, node = split_service_account(wanted.name), node_of(wanted.name)
    group = GROUP if way.constrained else ""
    if account is not None:
        namespace, name = account
        return Attributes(asker, way.verb, group, "serviceaccounts", "", namespace, name)
    if way.constrained and node:
        name = "*" if way.name == "associated-node" else node
        return Attributes(asker, way.verb, group, "nodes", name=name)
    return Attributes(asker, way.verb, group, "users", name=wanted.name)


def _at_once(
    way: Way, for_all: Attributes, each: tuple[Attributes, ...]
) -> Iterator[Attributes | tuple[Attributes, tuple[Attributes, ...]]]:
    if way.constrained and len(each) >= MANY:
        yield for_all, each
    else:
        yield from each


def _check_groups(base: Attributes, groups: tuple[str, ...]) -> None:
    if "" in groups:
        raise refusal(base, "impersonating the empty string group is not allowed")
    if MASTERS in groups:
        why = "impersonating the system:masters group is not allowed"
        raise refusal(replace(base, name=MASTERS), why)


def _check_extra(base: Attributes, wanted: User) -> None:
    for key, values in wanted.extra.items():
        if not key:
            raise refusal(base, "impersonating the empty string key in extra is not allowed")
        if wrong := domain_prefixed_path("extra.key", key):
            why = f"impersonating an invalid key in extra is not allowed: {wrong[0]}"
            raise refusal(base, why)
        if "" in values:
            raise refusal(base, "impersonating the empty string value in extra is not allowed")


def _any_pod_of(asker: User) -> User:
    """The account without what tells its pods apart: the question is the same for all of them."""
    return replace(asker, extra={KEYS_OF_NODE: tuple(sorted(asker.extra))})


def _only_name(wanted: User) -> bool:
    return not (wanted.uid or wanted.groups or wanted.extra)


def _its_own_node(wanted: User, asker: User) -> bool:
    node = node_of(wanted.name)
    held = asker.extra.get(NODE_NAME, ())
    account = split_service_account(asker.name)
    return _only_name(wanted) and bool(node) and account is not None and held == (node,)


def _is_somebody_else(wanted: User, asker: User) -> bool:
    return not node_of(wanted.name) and split_service_account(wanted.name) is None


def _is_account(wanted: User, asker: User) -> bool:
    return _only_name(wanted) and split_service_account(wanted.name) is not None


WAYS = (
    Way("associated-node", _its_own_node),
    Way("arbitrary-node", lambda wanted, asker: _only_name(wanted) and bool(node_of(wanted.name))),
    Way("serviceaccount", _is_account),
    Way("user-info", _is_somebody_else),
    Way(LEGACY, lambda wanted, asker: True),
)


def _values(header: str) -> tuple[str, ...]:
    return tuple(value.strip() for value in header.split(",") if value.strip())


def _go_user(user: User) -> str:
    """As Go prints the struct."""
    groups = "{" + ", ".join(map(_quoted, user.groups)) + "}" if user.groups else "(nil)"
    extra = (
        "{" + ", ".join(
            f"{_quoted(key)}:[]string{{{', '.join(map(_quoted, user.extra[key]))}}}"
            for key in sorted(user.extra)
        ) + "}"
        if user.extra
        else "(nil)"
    )  # fmt: skip
    return (
        f'&user.DefaultInfo{{Name:"", UID:{_quoted(user.uid)}, Groups:[]string{groups}, '
        f"Extra:map[string][]string{extra}}}"
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
