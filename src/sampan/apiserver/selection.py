"""Label and field selectors of a request, made into a `Selection` of a collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sampan.api import selectors
from sampan.api.errors import BadRequest
from sampan.api.meta import Json
from sampan.apiserver.cacher.item import Item
from sampan.apiserver.cacher.watcher import Selection
from sampan.apiserver.served import Served

NAME, NAMESPACE = "metadata.name", "metadata.namespace"


def selection_for(served: Served, namespace: str, labels: str, fields: str) -> Selection:
    """Raises BadRequest for selectors that cannot be read or that the kind does not have."""
    try:
        label_terms = selectors.parse(labels) if labels else selectors.EVERYTHING
        field_terms = selectors.parse_fields(fields).terms if fields else ()
    except selectors.SelectorError as error:
        raise BadRequest(str(error)) from error
    name = ""
    rest = []
    for term in field_terms:
        _check_label(served, term.field)
        if term.field == NAME and term.equal and not name:
            name = term.value
        else:
            rest.append(term)
    label_match: Callable[[Mapping[str, str]], bool] | None = None
    if label_terms:
        label_match = label_terms.matches
    field_match = _field_match(served, rest) if rest else None
    return Selection(namespace, name, label_match, field_match)


def _check_label(served: Served, label: str) -> None:
    resource = served.resource
    if label == NAME or label in resource.fields:
        return
    if label == NAMESPACE and not resource.no_namespace_field:
        return
    if says := resource.unknown_field or ("field label not supported: {}" * bool(resource.fields)):
        raise BadRequest(says.format(label))
    raise BadRequest(
        f'"{label}" is not a known field selector: only "metadata.name", "metadata.namespace"'
    )


def _field_match(served: Served, terms: list[selectors.FieldTerm]) -> Callable[[Item], bool]:
    known = served.resource.fields

    def value(obj: Json, item: Item, label: str) -> str:
        if label == NAME:
            return item.name
        if label == NAMESPACE:
            return item.namespace
        return known[label](obj)

    def matches(item: Item) -> bool:
        obj = served.current(item)
        return all((value(obj, item, term.field) == term.value) == term.equal for term in terms)

    return matches
