"""A KubeletConfiguration beside the kubelet's flags."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sampan.cli.kubelet import flag_set
from sampan.cli.kubelet_config import in_force, take


def written(folder: Path, **fields: object) -> str:
    path = folder / "config.yaml"
    head = {"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1"}
    path.write_text(yaml.safe_dump({**head, **fields}))
    return str(path)


def test_the_file_counts_where_no_flag_says_otherwise(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        clusterDNS=["10.96.0.10"],
        maxPods=7,
        podPidsLimit=100,
        syncFrequency="30s",
        authentication={"anonymous": {"enabled": True}, "x509": {"clientCAFile": "/ca"}},
        registerWithTaints=[{"key": "a", "value": "b", "effect": "NoSchedule"}],
        systemReserved={"cpu": "200m"},
    )
    given = flag_set().parse(["--max-pods=9", "--config", path])
    assert take(given, path) == ""
    assert given["max-pods"] == 9
    assert given["pod-max-pids"] == 100
    assert given["cluster-dns"] == ("10.96.0.10",)
    assert given["sync-frequency"] == 30
    assert given["anonymous-auth"] is True
    assert given["client-ca-file"] == "/ca"
    assert given["register-with-taints"] == ("a=b:NoSchedule",)
    assert given["system-reserved"] == {"cpu": "200m"}


def test_fields_without_effect_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, cgroupDriver="systemd", evictionHard={}, imageGCHighThresholdPercent=9)
    given = flag_set().parse([])
    assert take(given, path) == "cgroupDriver, imageGCHighThresholdPercent"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: Pod", "no KubeletConfiguration"),
        ("[1", "--config"),
        ("kind: KubeletConfiguration\napiVersion: x/v1", "no KubeletConfiguration of"),
        ("kind: KubeletConfiguration\nmaxPods: many", "maxPods: 'many': a whole number"),
        ("kind: KubeletConfiguration\nsyncFrequency: soon", "syncFrequency: 'soon': no duration"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=says) as raised:
        take(flag_set().parse([]), str(path))
    assert "\n" not in str(raised.value)


def test_what_is_in_force_is_told_as_a_configuration() -> None:
    given = flag_set().parse(["--cluster-dns=10.96.0.10", "--sync-frequency=90s", "--max-pods=5"])
    told = in_force(given)
    assert (told["kind"], told["maxPods"], told["syncFrequency"]) == (
        "KubeletConfiguration", 5, "90s",
    )  # fmt: skip
    assert told["clusterDNS"] == ["10.96.0.10"]
    assert told["authentication"]["anonymous"] == {"enabled": False}
