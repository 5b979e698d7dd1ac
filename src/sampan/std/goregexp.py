"""Go's regular expressions (RE2) in Python's dialect, and Go's words for what is none.

They differ in small things that schemas and Corefiles do use: flags in the middle of an expression,
`$` only at the very end, `\\z`, POSIX classes, `\\Q...\\E`, and ASCII classes such as `\\d`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import lru_cache

_POSIX = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": r"\x00-\x7F", "blank": r"\t ",
    "cntrl": r"\x00-\x1F\x7F", "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~",
    "punct": r"!-/:-@\[-`{-~", "space": r"\t\n\v\f\r ", "upper": "A-Z", "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_CLASS = re.compile(r"\[:(\^?)([a-z]+):\]")
_FLAGS = re.compile(r"\(\?([imsU]*)(-[imsU]+)?([:)])")
_NAMED = re.compile(r"\(\?P?<([A-Za-z_]\w*)>")
_UNICODE = re.compile(r"\\[pP](?:\{\^?([A-Za-z]+)\}|([A-Za-z]))")
_CATEGORIES = {"L": r"[^\W\d_]", "N": r"\d"}


_PERL_ONLY = re.compile(r"\(\?(?:<?[=!]|[>#(&|])")
_REPEATED = re.compile(r"\{(\d+)(?:,(\d*))?\}")
MAX_REPEAT = 1000
_BACK_REFERENCE = re.compile(r"(?:[^\\]|^)(?:\\\\)*(\\[1-9])")


class BadPattern(ValueError):
    """`error parsing regexp: ...`: no pattern, or one that Python cannot follow."""

    def __init__(self, text: str) -> None:
        super().__init__(f"error parsing regexp: {text}")


@lru_cache(maxsize=512)
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
        return _python(_Translation(text).whole(), re.ASCII)
    except re.error as bad:
        raise BadPattern(_explained(_as_written(text) or bad, text)) from bad


def _python(text: str, flags: int = 0) -> re.Pattern[str]:
    with warnings.catch_warnings():
        # `[[` and `&&` are plain characters, as in Go; Python only says that they may not stay.
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile(text, flags)


def _as_written(text: str) -> re.error | None:
    """What Python says of the text before its translation: there its positions are those of Go."""
    try:
        _python(text.replace(r"\z", r"\Z"))
    except re.error as bad:
        return bad
    return None


class _Translation:
    """One walk over the pattern. `_open` holds, for each group that is open, the flags that were
    set in its middle: they become a group of their own, to be closed with it.
    """

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._out: list[str] = []
        self._open: list[list[str]] = [[]]
        self._multiline = [False]

    def whole(self) -> str:
        while self._at < len(self._text):
            char = self._text[self._at]
            _STEPS.get(char, _Translation._plain)(self)
        self._out.append(")" * len(self._open[0]))
        return "".join(self._out)

    def _take(self, count: int, put: str) -> None:
        self._at += count
        self._out.append(put)

    def _plain(self) -> None:
        self._take(1, self._text[self._at])

    def _escape(self) -> None:
        rest = self._text[self._at :]
        known = _UNICODE.match(rest)
        if known:
            self._category(known)
        elif rest.startswith(r"\Q"):
            end = rest.find(r"\E")
            quoted = rest[2:end] if end >= 0 else rest[2:]
            self._take(len(quoted) + (4 if end >= 0 else 2), re.escape(quoted))
        elif rest.startswith(r"\z"):
            self._take(2, r"\Z")
        else:
            self._take(2, rest[:2])

    def _category(self, match: re.Match[str]) -> None:
        name = (match[1] or match[2])[0]
        if name not in _CATEGORIES:
            raise BadPattern(f"invalid character class range: `{match[0]}`")
        negated = match[0].startswith(r"\P") or "^" in match[0]
        body = _CATEGORIES[name]
        self._take(match.end(), f"(?u:(?!{body}).)" if negated else f"(?u:{body})")

    def _bracket(self) -> None:
        """A class, up to its end; what is in it hardly differs."""
        end = self._at + 1
        if self._text[end : end + 1] == "^":
            end += 1
        if self._text[end : end + 1] == "]":
            end += 1
        while end < len(self._text) and self._text[end] != "]":
            posix = _CLASS.match(self._text, end)
            step = len(posix[0]) if posix else 2 if self._text[end] == "\\" else 1
            end += step
        body = self._text[self._at + 1 : end + 1]
        # A bracket within is plain to Go; Python keeps it for set operations to come.
        self._take(len(body) + 1, "[" + re.sub(r"(?<!\\)\[", r"\[", _CLASS.sub(_posix, body)))

    def _group(self) -> None:
        flags, name = (pattern.match(self._text, self._at) for pattern in (_FLAGS, _NAMED))
        if flags is not None:
            self._flags(flags)
        elif name is not None:
            self._enter(len(name[0]), f"(?P<{name[1]}>", self._multiline[-1])
        else:
            self._enter(1, "(", self._multiline[-1])

    def _enter(self, count: int, put: str, multiline: bool) -> None:
        self._open.append([])
        self._multiline.append(multiline)
        self._take(count, put)

    def _flags(self, match: re.Match[str]) -> None:
        on, off, end = match.groups()
        if "U" in on:
            raise BadPattern("flag U is not supported")
        multiline = ("m" in on or self._multiline[-1]) and "m" not in (off or "")
        opening = f"(?{on}{off or ''}:"
        if end == ":":
            self._enter(len(match[0]), opening, multiline)
            return
        self._open[-1].append(opening)
        self._multiline[-1] = multiline
        self._take(len(match[0]), opening)

    def _close(self) -> None:
        if len(self._open) == 1:
            raise BadPattern(f"unexpected ): `{self._text}`")
        self._multiline.pop()
        self._take(1, ")" * (len(self._open.pop()) + 1))

    def _either(self) -> None:
        """Flags hold for the branches that follow, but must not join them with this one."""
        again = self._open[-1]
        self._take(1, ")" * len(again) + "|" + "".join(again))

    def _end(self) -> None:
        self._take(1, "$" if self._multiline[-1] else r"\Z")


def _posix(match: re.Match[str]) -> str:
    body = _POSIX.get(match[2])
    if body is None or match[1]:
        raise BadPattern(f"invalid character class range: `{match[0]}`")
    return body


_STEPS = {
    "\\": _Translation._escape,
    "[": _Translation._bracket,
    "(": _Translation._group,
    ")": _Translation._close,
    "|": _Translation._either,
    "$": _Translation._end,
}


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
