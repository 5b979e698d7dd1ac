"""Options that all tests share."""

from __future__ import annotations

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("sampan", deadline=None, print_blob=True)
settings.load_profile("sampan")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-cases",
        action="store_true",
        help="write the golden files of tests/cases anew; review them as a diff",
    )
