"""Regular expressions as Corefiles write them: Go's syntax to Python's, Go's words for mistakes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

_CLASSES = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": r"\x00-\x7f", "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f", "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~",
    "punct": r"!-/:-@\[-`{-~", "space": r"\t\n\v\f\r ", "upper": "A-Z", "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_PERL_ONLY = re.compile(r"\(\?(?:<?[=!]|[>#(&|])")
_REPEATED = re.compile(r"\{(\d+)(?:,(\d*))?\}")
MAX_REPEAT = 1000
_BACK_REFERENCE = re.compile(r"(?:[^\\]|^)(?:\\\\)*(\\[1-9])")


class BadPattern(ValueError):
    """`error parsing regexp: ...`"""

    def __init__(self, text: str) -> None:
        super().__init__(f"error parsing regexp: {text}")


def compiled(text: str) -> re.Pattern[str]:
    """Raises BadPattern."""
    if found := _PERL_ONLY.search(text):
        raise BadPattern(f"invalid or unsupported Perl syntax: `{found[0]}`")
    if found := _BACK_REFERENCE.search(text):
        raise BadPattern(f"invalid escape sequence: `{found[1]}`")
    for found in _REPEATED.finditer(text):
        if max(int(number or 0) for number in found.groups()) > MAX_REPEAT:
            raise BadPattern(f"invalid repeat count: `{found[0]}`")
    try:
        with warnings.catch_warnings():
            # `[[` and `&&` are plain characters, as in Go; Python only says that they may not stay.
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(_translated(text))
    except re.error as bad:
        raise BadPattern(_explained(bad, text)) from bad


def _translated(text: str) -> str:
    """Python's spelling of what Go spells otherwise."""
    text = re.sub(r"\[:(\w+):\]", lambda found: _CLASSES.get(found[1], found[0]), text)
    text = text.replace(r"\z", r"\Z").replace("(?<", "(?P<").replace(r"\Q", "").replace(r"\E", "")
    flags = re.match(r"\(\?([imsU]+)\)", text)
    if flags is None and (inside := re.search(r"\(\?([ims]+)\)", text)):
        # Flags in the middle hold from there on.
        return f"{text[: inside.start()]}(?{inside[1]}:{text[inside.end() :]})"
    return text


def _explained(bad: re.error, text: str) -> str:
    at = bad.pos or 0
    explain: dict[str, Callable[[], str]] = {
        "nothing to repeat": lambda: (
            f"missing argument to repetition operator: `{_sign(text, at)}`"
        ),
        "multiple repeat": lambda: f"invalid nested repetition operator: `{_nested(text, at)}`",
        "unbalanced parenthesis": lambda: f"unexpected ): `{text}`",
        "missing ), unterminated subpattern": lambda: f"missing closing ): `{text}`",
        "unterminated character set": lambda: f"missing closing ]: `{text[at:]}`",
        "bad escape (end of pattern)": lambda: "trailing backslash at end of expression: ``",
    }
    for start, make in explain.items():
        if bad.msg.startswith(start):
            return make()
    if bad.msg.startswith("bad escape"):
        return f"invalid escape sequence: `{text[at : at + 2]}`"
    if bad.msg.startswith("min repeat"):
        return f"invalid repeat count: `{_sign(text, text.find('{', max(0, at - 1)))}`"
    if bad.msg.startswith("bad character range"):
        return f"invalid character class range: `{bad.msg.rpartition(' ')[2]}`"
    return f"{bad.msg}: `{text}`"


def _sign(text: str, at: int) -> str:
    found = re.compile(r"[*+?]\??|\{\d+(?:,\d*)?\}").match(text, at)
    return found[0] if found else text[at : at + 1]


def _nested(text: str, at: int) -> str:
    """Both operators, as they stand."""
    start = at
    while start > 0 and text[start - 1] in "*+?}":
        start = text.rfind("{", 0, start) if text[start - 1] == "}" else start - 1
    return text[start:at] + _sign(text, at)
