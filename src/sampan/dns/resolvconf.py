"""`resolv.conf`: the search list that a machine's resolver goes through."""

from __future__ import annotations

from sampan.dns import names

PATH = "/etc/resolv.conf"


def search_list(path: str = PATH) -> list[str]:
    """The domains in their order, lower-case, with a final dot. Raises OSError."""
    with open(path, encoding="utf-8") as file:
        lines = [line.split() for line in file]
    found: list[str] = []
    for words in lines:
        if words[:1] == ["search"]:
            found = [names.fqdn(word).lower() for word in words[1:]]
        elif words[:1] == ["domain"] and len(words) > 1:
            found = [names.fqdn(words[1]).lower()]
    return found
