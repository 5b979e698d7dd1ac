"""Names of properties as rules in CEL write them."""

from __future__ import annotations

_KEYWORDS = frozenset((
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function",
    "if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while",
))  # fmt: skip


def escaped(name: str) -> str:
    """A property's name as rules write it."""
    if name in _KEYWORDS:
        return f"__{name}__"
    text = name.replace("__", "__underscores__").replace(".", "__dot__")
    return text.replace("-", "__dash__").replace("/", "__slash__")
