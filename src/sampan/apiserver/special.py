"""The resources and subresources that are more than stored objects, by where they are."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.apiserver.authn.authenticator import Authenticator
from sampan.apiserver.authz.authorizer import Authorizer
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.router import Special
from sampan.apiserver.served import Catalog


def specials(
    parts: Parts, catalog: Catalog, authenticator: Authenticator, authorizer: Authorizer
) -> Mapping[tuple[str, str, str], Special]:
    """(group, plural, subresource or `*verb`) -> handler."""
    return {}
