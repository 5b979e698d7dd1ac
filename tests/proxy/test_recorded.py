"""The rules that upstream's iptables mode wrote for the recorded objects, chain by chain."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from sampan.cluster.parts.proxy_render import rendered
from sampan.proxy.config import configuration
from sampan.proxy.offline import planned

RECORDED = Path(__file__).parents[1] / "recorded" / "proxy"
STEPS = sorted(RECORDED.rglob("expect.iptables")) + sorted(RECORDED.rglob("expect.ip6tables"))
DEFAULT = {"hostnameOverride": "n1", "clusterCIDR": "10.244.0.0/16,fd00:10:244::/56"}


@pytest.fixture(scope="module")
def rules() -> ModuleType:
    """The reader of iptables-save text that was used for recording."""
    sys.path.insert(0, str(RECORDED))
    try:
        import rules as module
    finally:
        sys.path.remove(str(RECORDED))
    return module


def test_there_is_something_recorded() -> None:
    assert len(STEPS) > 90


@pytest.mark.parametrize("expected", STEPS, ids=lambda path: str(path.relative_to(RECORDED)))
def test_rules_are_those_of_upstream(expected: Path, rules: ModuleType) -> None:
    case = RECORDED / expected.relative_to(RECORDED).parts[0]
    own = case / "config.yaml"
    given = yaml.safe_load(own.read_text()) if own.exists() else {}
    config = configuration({**DEFAULT, **given}, {"mode": "iptables"})
    objects = list(yaml.safe_load_all((expected.parent / "objects.yaml").read_text()))
    text = rendered("iptables", planned(objects, config, "n1"), expected.suffix.removeprefix("."))
    assert rules.differences(rules.parse(expected.read_text()), rules.parse(text)) == []
