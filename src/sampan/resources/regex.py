"""Go's regular expressions (RE2) in Python's dialect, for patterns that come with objects.

They differ in small things that schemas do use: flags in the middle of an expression, `$` only at
the very end, `\\z`, POSIX classes, `\\Q...\\E`, and ASCII classes such as `\\d`.
"""

from __future__ import annotations

import re
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


class RegexError(ValueError):
    """The text is no pattern, or one that Python cannot follow."""


@lru_cache(maxsize=512)
def compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(_Translation(pattern).whole(), re.ASCII)
    except re.error as error:
        raise RegexError(str(error)) from None


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
            raise RegexError(f"invalid character class range: `{match[0]}`")
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
            raise RegexError("flag U is not supported")
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
            raise RegexError("unexpected )")
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
        raise RegexError(f"invalid character class range: `{match[0]}`")
    return body


_STEPS = {
    "\\": _Translation._escape,
    "[": _Translation._bracket,
    "(": _Translation._group,
    ")": _Translation._close,
    "|": _Translation._either,
    "$": _Translation._end,
}
