"""What a kind tells the API server about itself: the seam between `resources/` (words) and
`apiserver/` (grammar).

A file under `resources/` fills in one `Resource`. Schema facts (fields, types, static defaults,
enums, merge keys) come
from the generated tables through `schema`; everything that depends on other fields is a function
here. All functions are
pure but for changing the object they are handed; none of them does I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sampan.api.errors import FieldError
from sampan.api.meta import Json, ResourceId

STANDARD_VERBS = (
    "create", "delete", "deletecollection", "get", "list", "patch", "update", "watch",
)  # fmt: skip


METADATA_OF_STATUS = ("labels", "annotations", "finalizers", "ownerReferences")
"""What a status is not to say anew, in kinds that are strict about it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the server-made table. `cell` takes the object and the time now (seconds
    since the epoch).
    """

    title: str
    cell: Callable[[Json, float], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""
    defined: bool = True
    """Upstream's rows of some kinds have cells more than their tables have columns."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What the object must hold from the shared pools; the API server allocates, takes and gives
    back.

    An empty string or 0 stands for "any free one", in the order in which `assign` takes them.
    """

    ips: tuple[str, ...] = ()
    ip_families: tuple[str, ...] = ()
    node_ports: tuple[tuple[int, str], ...] = ()
    """(port or 0, protocol)."""
    health_check_port: int | None = None
    port_paths: tuple[str, ...] = ()
    """Where in the object each of `node_ports` stands, for refusals."""


@dataclass(frozen=True, slots=True)
class Subresource:
    """`status`, `scale`, `binding`, ...: name, the kind of its body, its verbs."""

    name: str
    kind: ResourceId
    verbs: tuple[str, ...] = ("get", "patch", "update")


def nothing(obj: Json) -> None:
    """No defaults beyond the tables'."""


def no_rules(new: Json, old: Json | None, subresource: str) -> list[FieldError]:
    return []


def no_warnings(new: Json, old: Json | None) -> list[str]:
    return []


def no_needs(new: Json, old: Json | None) -> Needs | None:
    return None


def no_families(new: Json, old: Json | None, served: tuple[str, ...]) -> list[FieldError]:
    return []


def no_conditions(obj: Json) -> list[Json]:
    return []


def not_assigned(
    obj: Json, ips: tuple[str, ...], node_ports: tuple[int, ...], health_check_port: int
) -> None:
    """For kinds that need nothing."""


def same(obj: Json) -> Json:
    return obj


def keep(new: Json, old: Json | None, subresource: str) -> None:
    """No strategy beyond the common one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind in one version."""

    id: ResourceId
    schema: str
    """Name in the facts tables, e.g. `io.k8s.api.core.v1.Service`."""
    singular: str = ""
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = STANDARD_VERBS
    defaults: Callable[[Json], None] = nothing
    """Defaults that the tables cannot tell; runs after them, on every decode (requests and
    storage alike).
    """
    prepare: Callable[[Json, Json | None, str], None] = keep
    """(new, old or None on create, subresource): strategy, before validation: drop what the
    client may not set here.

    The common part (status kept by main writes, spec kept by status writes, generation) is done
    by the registry for
    every kind with a `status` subresource; this is for what is particular to the kind.
    """
    validate: Callable[[Json, Json | None, str], list[FieldError]] = no_rules
    """Everything wrong with the object; with `old`, update rules too (immutable fields)."""
    validate_patch: Callable[[Json, Json | None, str], list[FieldError]] = no_rules
    """What is wrong besides where the change came as a PATCH."""
    warnings: Callable[[Json, Json | None], list[str]] = no_warnings
    families: Callable[[Json, Json | None, tuple[str, ...]], list[FieldError]] = no_families
    """(new, old, IP families that the cluster serves, its first one first): after `prepare` and
    before `needs`, fill in what depends on them. What is wrong here is refused at once, before
    anything is allocated.
    """
    needs: Callable[[Json, Json | None], Needs | None] = no_needs
    """What the object holds; asked after defaults and strategy, of the old object as well."""
    assign: Callable[[Json, tuple[str, ...], tuple[int, ...], int], None] = not_assigned
    """Write what was allocated into the object, in the order of `needs`."""
    columns: tuple[Column, ...] = ()
    row_conditions: Callable[[Json], list[Json]] = no_conditions
    """What marks a whole row of the table (`Completed` pods)."""
    row_order: Callable[[Json], Any] | None = None
    """What the rows of a list's table are sorted by; None leaves them by name."""
    deprecated: str = ""
    """The warning that every answer of this kind carries, reads included."""
    fields: Mapping[str, Callable[[Json], str]] = field(default_factory=dict)
    """Field selector labels beyond metadata.name and metadata.namespace."""
    unknown_field: str = ""
    """What is said of a field that cannot be selected by, where upstream has words of its own."""
    no_namespace_field: bool = False
    """Not even metadata.namespace can be selected by."""
    subresources: tuple[Subresource, ...] = ()
    generation: bool = True
    """Whether metadata.generation is kept for this kind."""
    generation_metadata: tuple[str, ...] = ()
    """Fields of the metadata whose changes count like those of the spec."""
    create_on_update: bool = False
    """PUT of an absent name creates it (Endpoints, Leases, RBAC kinds, ... as upstream)."""
    unconditional_update: bool = True
    """PUT without resourceVersion is allowed."""
    status_on_create: bool = False
    """A status that comes with a new object stays (Nodes register with theirs)."""
    returns_deleted: bool = False
    """DELETE answers with the object that is gone instead of a Status (as upstream, kind by
    kind).
    """
    orphans: bool = False
    """A DELETE that says nothing of dependents leaves them behind, as these kinds always did."""
    orphan_warning: str = ""
    """What such a DELETE is told."""
    grace: Callable[[Json, int | None], int] | None = None
    """Seconds between DELETE and the end, from the object and what the client asked for; None =
    the kind goes at once.
    """
    name_rule: Callable[[str, bool], list[str]] | None = None
    """(name, is it a generateName prefix) -> complaints; None = DNS-1123 subdomain."""
    free_finalizers: bool = False
    """Finalizers need no domain: kinds that upstream does not hold to the core's rule."""
    metadata_checks: str = "both"
    """What the kind itself asks of metadata on update, beside what is asked of every kind (each
    mistake is told as often as it is asked after): "whole" the rules of create, "changes" what may
    not change, "both" (first the changes), "reversed" (both, but first the whole), "twice" the
    rules of create two times, or "none". The second part stands before the kind's own errors, or
    where those say `rules.METADATA`.
    """
    status_metadata_checks: str = "changes"
    """Likewise on writes of status."""
    status_keeps: tuple[str, ...] = ()
    """Metadata that writes of status do not touch; "*": none of it."""
    storage: ResourceId | None = None
    """Where objects are kept when another version or group owns the storage (events.k8s.io,
    autoscaling/v1).
    """
    to_storage: Callable[[Json], Json] = same
    from_storage: Callable[[Json], Json] = same

    @property
    def has_status(self) -> bool:
        return any(sub.name == "status" for sub in self.subresources)
