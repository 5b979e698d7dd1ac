"""The plugins, in the order in which they run."""

from __future__ import annotations

from sampan.apiserver.admission.base import Plugin
from sampan.apiserver.authz.authorizer import Authorizer
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.served import Catalog


def plugins(
    parts: Parts,
    catalog: Catalog,
    authorizer: Authorizer,
    enabled: tuple[str, ...],
    disabled: tuple[str, ...],
) -> list[Plugin]:
    return []
