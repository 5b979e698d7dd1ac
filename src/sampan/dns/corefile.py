"""The Corefile: text to server blocks of directives, with imports, snippets and environment.

The grammar is CoreDNS', its oddities included (a block may go without braces, a directive that
stands twice is one directive with two lines). Three slips that CoreDNS refuses are understood,
because published examples have them: `{` glued to the word before it, and a colon glued to a
directive. What the directives mean is the plugins' business.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NamedTuple

MAX_EXPANSIONS = 10000


class CorefileError(ValueError):
    """What is wrong, in CoreDNS' words, with file and line in front where they are known."""


class Token(NamedTuple):
    file: str
    line: int
    text: str

    @property
    def last_line(self) -> int:
        """Where the token ends; quoted ones may span lines."""
        return self.line + self.text.count("\n")


@dataclass(frozen=True, slots=True)
class Block:
    """One server block; the tokens of a directive start with its name, once per line of it."""

    keys: tuple[str, ...]
    directives: Mapping[str, tuple[Token, ...]]


@dataclass(frozen=True, slots=True)
class Sources:
    """The world around the text: directives that exist, environment, files, where to warn."""

    known: Collection[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    warn: Callable[[str], None] = lambda text: None


def parse(text: str, file: str, sources: Sources) -> list[Block]:
    """The server blocks of a Corefile, imports resolved. Raises CorefileError."""
    # Nothing at all is the root without plugins: whoever asks is refused.
    return _Parser(tokens(text, file), file, sources).blocks() or [Block((".",), {})]


def tokens(text: str, file: str) -> list[Token]:
    """Words, quoted strings without their quotes, no comments."""
    found, pos, line = [], 0, 1
    text = text.removeprefix("\ufeff").replace("\r", "")
    while pos < len(text):
        char = text[pos]
        if char == "\n":
            line += 1
            pos += 1
        elif char.isspace():
            pos += 1
        elif char == "#":
            pos = _end_of_line(text, pos)
        elif char == '"':
            word, pos = _quoted(text, pos + 1)
            found.append(Token(file, line, word))
            line += word.count("\n")
        else:
            word, pos = _word(text, pos)
            found += _unglued(Token(file, line, word), text, pos)
    return found


def _end_of_line(text: str, pos: int) -> int:
    end = text.find("\n", pos)
    return len(text) if end < 0 else end


def _quoted(text: str, pos: int) -> tuple[str, int]:
    out = []
    while pos < len(text) and text[pos] != '"':
        if text[pos] == "\\" and text[pos + 1 : pos + 2] == '"':
            pos += 1
        elif text[pos] == "\\":
            out.append("\\")
            pos += 1
            if pos == len(text):
                break
        out.append(text[pos])
        pos += 1
    return "".join(out), pos + 1


def _word(text: str, pos: int) -> tuple[str, int]:
    """Up to white space; a `#` inside cuts the word and starts a comment."""
    start = pos
    while pos < len(text) and not text[pos].isspace() and text[pos] != "#":
        pos += 1
    return text[start:pos], pos


def _unglued(token: Token, text: str, pos: int) -> list[Token]:
    """`health{` at the end of a line is `health {`."""
    word = token.text
    rest = text[pos : _end_of_line(text, pos)].split("#")[0]
    if len(word) > 1 and word.endswith("{") and not word.endswith("{{") and not rest.strip():
        return [token._replace(text=word[:-1]), token._replace(text="{")]
    return [token]


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Put in `{$NAME}` and `{%NAME%}`; a name that is not set becomes nothing."""
    for start, end in (("{%", "%}"), ("{$", "}")):
        at = text.find(start)
        while at >= 0:
            stop = text.find(end, at)
            if stop <= at + len(start):
                break
            value = environment.get(text[at + len(start) : stop], "")
            text = text[:at] + value + text[stop + len(end) :]
            at = text.find(start, at + len(value))
    return text


class _Parser:
    """A cursor over the tokens; imports splice tokens in while it walks."""

    def __init__(self, found: list[Token], file: str, sources: Sources) -> None:
        self.tokens = found
        self.file = file
        self.sources = sources
        self.snippets: dict[str, list[Token]] = {}
        self.expansions = 0
        self.at = -1

    # The cursor

    @property
    def text(self) -> str:
        return self.tokens[self.at].text if 0 <= self.at < len(self.tokens) else ""

    def next(self) -> bool:
        if self.at < len(self.tokens) - 1:
            self.at += 1
            return True
        return False

    def starts_line(self) -> bool:
        if self.at <= 0:
            return True
        before, here = self.tokens[self.at - 1], self.tokens[self.at]
        return before.file != here.file or before.last_line < here.line

    def next_on_line(self) -> bool:
        if self.at + 1 >= len(self.tokens):
            return False
        here, after = self.tokens[self.at], self.tokens[self.at + 1]
        if here.file != after.file or here.last_line < after.line:
            return False
        self.at += 1
        return True

    def error(self, text: str, kind: str = "Error during parsing") -> CorefileError:
        here = self.tokens[self.at] if 0 <= self.at < len(self.tokens) else Token(self.file, 0, "")
        return CorefileError(f"{here.file}:{here.line} - {kind}: {text}")

    def expected(self, char: str) -> CorefileError:
        return self.error(f"Unexpected token '{self.text}', expecting '{char}'", "Syntax error")

    # The grammar

    def blocks(self) -> list[Block]:
        found = []
        while self.next():
            keys, ended = self.keys()
            if len(keys) == 1 and keys[0].startswith("(") and keys[0].endswith(")") and not ended:
                self.snippet(keys[0][1:-1])
                continue
            directives = {} if ended else self.body()
            if keys:
                found.append(Block(tuple(keys), directives))
        return found

    def keys(self) -> tuple[list[str], bool]:
        """The addresses of a block, and whether the file ended behind them."""
        keys: list[str] = []
        another = False
        while True:
            word = expand(self.text, self.sources.environment)
            if word == "import" and self.starts_line():
                self.do_import()
                if not self.next():
                    return keys, True
                continue
            if word == "{":
                if another:
                    raise self.error("Expected another address but had '{' - check for extra comma")
                # A block that starts with its brace has the root as its only key.
                return keys or ["."], False
            if word:
                another = word.endswith(",")
                keys.append(word.removesuffix(","))
            if not self.next():
                if another:
                    raise self.error("Unexpected EOF")
                return keys, True
            if not another and self.starts_line():
                return keys, False

    def snippet(self, name: str) -> None:
        if name in self.snippets:
            raise self.error(f"redeclaration of previously declared snippet {name}")
        if self.text != "{":
            raise self.expected("{")
        depth, inside = 1, []
        while self.next():
            depth += (self.text == "{") - (self.text == "}")
            if depth == 0:
                break
            inside.append(self.tokens[self.at])
        if depth:
            raise self.expected("}")
        self.snippets[name] = inside

    def body(self) -> dict[str, tuple[Token, ...]]:
        braces = self.text == "{"
        if not braces:
            self.at -= 1
        directives: dict[str, list[Token]] = {}
        while self.next():
            if self.text == "}":
                break
            if self.text == "import":
                self.do_import()
                continue
            self.directive(directives)
        if braces and self.text != "}":
            raise self.expected("}")
        return {name: tuple(found) for name, found in directives.items()}

    def directive(self, directives: dict[str, list[Token]]) -> None:
        name = self.known(expand(self.text, self.sources.environment))
        collected = directives.setdefault(name, [])
        collected.append(self.tokens[self.at]._replace(text=name))
        depth = 0
        while self.next():
            if self.text == "{":
                depth += 1
            elif self.starts_line() and depth == 0:
                self.at -= 1
                break
            elif self.text == "}" and depth > 0:
                depth -= 1
            elif self.text == "}":
                raise self.error("Unexpected '}' because no matching opening brace")
            elif self.text == "import" and self.starts_line():
                self.do_import()
                continue
            here = self.tokens[self.at]
            collected.append(here._replace(text=expand(here.text, self.sources.environment)))
        if depth:
            raise self.error("Unexpected EOF")

    def known(self, name: str) -> str:
        if name in self.sources.known:
            return name
        if name.endswith(":") and name[:-1] in self.sources.known:
            return name[:-1]
        near = get_close_matches(name, self.sources.known, n=1, cutoff=0.7)
        hint = f", did you mean '{near[0]}'?" if near else ""
        raise self.error(f"Unknown directive '{name}'{hint}")

    # Imports

    def do_import(self) -> None:
        """Put the imported tokens in the place of `import X`; `next` then gives the first."""
        start = self.at
        if not self.next_on_line():
            raise self.error("Wrong argument count or unexpected line ending after 'import'")
        wanted = expand(self.text, self.sources.environment)
        if not wanted:
            raise self.error("Import requires a non-empty filepath")
        if self.next_on_line():
            raise self.error("Import takes only one argument (glob pattern or file)")
        self.expansions += 1
        if self.expansions > MAX_EXPANSIONS:
            raise self.error(f"maximum snippet import depth ({MAX_EXPANSIONS}) exceeded")
        imported = self.snippets.get(wanted)
        if imported is None:
            imported = self.imported_files(wanted)
        self.tokens[start : start + 2] = imported
        self.at = start - 1

    def imported_files(self, wanted: str) -> list[Token]:
        folder = os.path.dirname(os.path.abspath(self.tokens[self.at].file))
        pattern = os.path.join(folder, wanted)
        if pattern.count("*") > 1 or pattern.count("?") > 1 or {"[", "]"} <= set(pattern):
            raise self.error(
                f"Glob pattern may only contain one wildcard (*), but has others: {pattern}"
            )
        matches = sorted(glob.glob(pattern))
        if not matches and not set(pattern) & set("*?[]"):
            raise self.error(f"File to import not found: {wanted}")
        if not matches:
            self.sources.warn(f"No files matching import glob pattern: {wanted}")
        return [token for match in matches for token in self.imported_file(match)]

    def imported_file(self, path: str) -> list[Token]:
        try:
            with open(path, encoding="utf-8") as file:
                return tokens(file.read(), path)
        except IsADirectoryError:
            raise self.error(f"Could not import {path}: is a directory") from None
        except (OSError, ValueError) as bad:
            raise self.error(f"Could not import {path}: {bad}") from bad
