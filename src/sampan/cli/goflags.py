"""Flags in the manner of Go's flag package: `-name value`, `-name=value`, one dash or two."""

from __future__ import annotations

from collections.abc import Collection, Mapping

TRUE = ("", "true", "1", "t", "T", "TRUE", "True")
FALSE = ("false", "0", "f", "F", "FALSE", "False")


class BadFlags(ValueError):
    """The text for standard error."""


def read(
    argv: list[str], values: Mapping[str, str], switches: Collection[str]
) -> tuple[dict[str, str], dict[str, bool]]:
    """Values under the names that `values` gives them, and the switches that were named.

    Raises BadFlags.
    """
    found: dict[str, str] = {}
    set_to: dict[str, bool] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-"):
            raise BadFlags(f"extra command line arguments: {[word, *rest]}")
        if name in switches:
            if value not in TRUE + FALSE:
                raise BadFlags(f'invalid boolean value "{value}" for -{name}: parse error')
            set_to[name] = value in TRUE
        elif name in values:
            if not equals and not rest:
                raise BadFlags(f"flag needs an argument: -{name}")
            found[values[name]] = value if equals else rest.pop(0)
        else:
            raise BadFlags(f"flag provided but not defined: -{name}")
    return found, set_to
