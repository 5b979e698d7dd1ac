"""Go's regular expressions: where they differ from Python's."""

from __future__ import annotations

import pytest

from sampan.std.goregexp import BadPattern, compiled


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


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(", "missing closing ): `(`"),
        ("a)", "unexpected ): `a)`"),
        ("x[a", "missing closing ]: `[a`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        (r"\p{Greek}", r"invalid character class range: `\p{Greek}`"),
        ("(?U)a", "flag U is not supported"),
    ],
)
def test_what_is_no_pattern_is_refused_in_gos_words(pattern: str, says: str) -> None:
    with pytest.raises(BadPattern) as refused:
        compiled(pattern)
    assert str(refused.value) == f"error parsing regexp: {says}"
