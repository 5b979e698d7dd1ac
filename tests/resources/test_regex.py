"""Go's regular expressions: where they differ from Python's."""

from __future__ import annotations

import pytest

from sampan.resources.regex import RegexError, compiled


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"^(?i)\.?[a-z]+$", "Foo", True),  # flags in the middle
        ("a(?i)b|c", "aB", True),
        ("a(?i)b|c", "C", True),
        ("a(?i)b|c", "AB", False),
        ("^(?:(?i)x|y)z$", "Yz", True),
        ("^a$", "a\n", False),  # `$` is the very end
        ("(?m)^a$", "x\na\ny", True),
        (r"a\z", "a", True),
        ("^[[:alpha:]_]+$", "ab_C", True),
        ("^[^[:digit:]]$", "x", True),
        ("^[a[]$", "[", True),
        (r"^[a-z\]]+$", "a]", True),
        (r"^\Qa.b\E$", "axb", False),
        (r"^\d$", "\N{ARABIC-INDIC DIGIT THREE}", False),
        (r"^\p{L}+$", "é", True),
        (r"^\PL$", "1", True),
        ("(?s:a.b)", "a\nb", True),
        ("^(?P<n>a)$", "a", True),
    ],
)
def test_a_pattern_finds_what_go_finds(pattern: str, text: str, found: bool) -> None:
    assert (compiled(pattern).search(text) is not None) == found


@pytest.mark.parametrize("pattern", ["(", ")", "[a", "*", r"\p{Greek}", "(?U)a"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(RegexError):
        compiled(pattern)
