"""Corefiles that CoreDNS refuses are refused in its words; each was tried beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from sampan.dns.corefile import CorefileError
from tests.dns.desk import Desk

CASES = yaml.safe_load((Path(__file__).parent / "corefiles.yaml").read_text())


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: re.sub(r"\s+", " ", case["corefile"])[8:60]
)
def test_a_corefile_is_refused_in_upstreams_words(
    case: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # no file is there
    with pytest.raises(CorefileError) as refused:
        Desk(case["corefile"], (), None)
    assert str(refused.value) == case["error"]
