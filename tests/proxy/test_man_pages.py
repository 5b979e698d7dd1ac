"""Every mode has a man page in one fixed form, and its examples are real commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sampan.proxy.backends
from sampan.cli.proxy_flags import flag_set
from sampan.proxy.config import MODES

ROOT = Path(sampan.proxy.backends.__file__).parent
SECTIONS = [
    "Name",
    "Synopsis",
    "Description",
    "Look at it",
    "Options",
    "Differences",
    "Limits",
    "See also",
]


@pytest.mark.parametrize("mode", MODES)
def test_the_page_has_all_sections_in_order(mode: str) -> None:
    text = (ROOT / mode / "README.md").read_text()
    assert text.startswith(f"# {mode}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    assert f"*{mode}* – " in text


@pytest.mark.parametrize("mode", MODES)
def test_the_synopsis_uses_flags_that_exist(mode: str) -> None:
    text = (ROOT / mode / "README.md").read_text()
    for line in re.findall(r"^    sampan proxy (--.*)$", text, re.MULTILINE):
        given = flag_set().parse(re.sub(r"\[(.*?)\]", r"\1", line).split())
        assert given["proxy-mode"] == mode


@pytest.mark.parametrize("mode", MODES)
def test_other_modes_that_are_named_exist(mode: str) -> None:
    text = (ROOT / mode / "README.md").read_text()
    named = text.rpartition("## See also")[2].replace(",", " ").split()
    assert named
    assert set(named) <= set(MODES)
