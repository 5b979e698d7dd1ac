"""The catalog against the tables of the 1.36 API."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import pytest

from sampan.api import schema
from sampan.api.resource import Resource
from sampan.resources.catalog import CATALOG

FACTS = Path(__file__).parents[2] / "tools" / "facts"
Row = dict[str, str]


@cache
def table(name: str) -> list[Row]:
    with (FACTS / f"{name}.tsv").open(newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return list(rows)


def key_of(row: Row) -> tuple[str, str, str]:
    group = "" if row["group"] == "core" else row["group"]
    return group, row["version"], row["resource"]


def words(text: str) -> tuple[str, ...]:
    return () if text == "-" else tuple(text.split(","))


KNOWN = {(each.id.group, each.id.version, each.id.plural): each for each in CATALOG}
KINDS = [row for row in table("resources") if "/" not in row["resource"]]
NAMES = ["/".join(key_of(row)).strip("/") for row in KINDS]


def of(row: Row) -> Resource:
    return KNOWN[key_of(row)]


def test_no_resource_is_there_twice() -> None:
    assert len(KNOWN) == len(CATALOG)


def test_every_resource_of_the_tables_is_there() -> None:
    assert {key_of(row) for row in KINDS} <= KNOWN.keys()


@pytest.mark.parametrize("row", KINDS, ids=NAMES)
def test_names_scope_and_verbs_are_those_of_the_tables(row: Row) -> None:
    resource = of(row)
    assert resource.id.kind == row["kind"]
    assert resource.id.namespaced == (row["scope"] == "Namespaced")
    assert resource.singular == row["singular"]
    assert resource.short == words(row["short_names"])
    assert resource.categories == words(row["categories"])
    assert sorted(resource.verbs) == sorted(words(row["verbs"]))


@pytest.mark.parametrize("row", KINDS, ids=NAMES)
def test_columns_are_those_of_the_tables(row: Row) -> None:
    """Kinds without columns get the server's own: name and creation time."""
    default = [("Name", "string", "name", 0), ("Created At", "date", "", 0)]
    wanted = [
        (column["column"], column["type"], column["format"].strip("-"), int(column["priority"]))
        for column in table("columns")
        if key_of(column) == key_of(row)
    ]
    got = [(c.title, c.type, c.format, c.priority) for c in of(row).columns if c.defined]
    assert (got or default) == (wanted or default)


@pytest.mark.parametrize("row", KINDS, ids=NAMES)
def test_subresources_are_those_of_the_tables(row: Row) -> None:
    group, version, plural = key_of(row)
    wanted = {
        (sub.partition("/")[2], verbs)
        for at, sub, verbs in (
            (key_of(each)[:2], each["resource"], tuple(sorted(words(each["verbs"]))))
            for each in table("resources")
        )
        if at == (group, version) and sub.startswith(f"{plural}/")
    }
    assert {(sub.name, tuple(sorted(sub.verbs))) for sub in of(row).subresources} == wanted


@pytest.mark.parametrize("row", KINDS, ids=NAMES)
def test_the_schema_exists(row: Row) -> None:
    assert schema.struct(of(row).schema).go == row["kind"]
