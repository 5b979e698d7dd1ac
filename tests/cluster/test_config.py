"""What a cluster is made of."""

from pathlib import Path

import pytest

from sampan.cluster.config import BadConfig, ClusterConfig, from_kind


def test_addresses_follow_from_the_ranges() -> None:
    config = ClusterConfig()
    assert config.node_names == ("node1", "node2")
    assert config.node_address("node2") == "192.168.213.2"
    assert config.host_address == "192.168.213.254"
    assert (config.api_address, config.dns_address) == ("10.96.0.1", "10.96.0.10")
    assert config.context == "sampan-sampan"


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("name", "Über", "--name 'Über': use small letters"),
        ("nodes", 0, "--nodes 0: must be between 1 and 100"),
        ("service_cidr", "10.244.0.0/16", "--service-cidr 10.244.0.0/16 overlaps --pod-cidr"),
        ("service_cidr", "10.96.0.1/12", "--service-cidr 10.96.0.1/12: 10.96.0.1/12 has host bits"),
        ("pod_cidr", "10.9.0.0/24", "--pod-cidr 10.9.0.0/24: too small, a /20 at least"),
        ("proxy_mode", "magic", "--proxy-mode 'magic': must be one of nftables"),
        ("egress", "maybe", "--egress 'maybe': must be one of auto, on, off"),
        ("api_port", 0, "--api-port 0: must be between"),
    ],
)
def test_a_bad_value_names_its_flag(field: str, value: object, told: str) -> None:
    with pytest.raises(BadConfig) as caught:
        ClusterConfig(**{field: value})  # type: ignore[arg-type]
    assert told in str(caught.value)


def test_who_reads_while_it_is_saved_reads_a_whole_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, written = tmp_path / "cluster.json", Path.write_text
    ClusterConfig(name="old").save(path)

    def slowly(where: Path, text: str) -> int:
        written(where, text[:10])
        assert ClusterConfig.load(path).name == "old"
        return written(where, text)

    monkeypatch.setattr(Path, "write_text", slowly)
    ClusterConfig(name="new").save(path)
    assert ClusterConfig.load(path).name == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["cluster.json"]


def test_a_config_survives_the_disk(tmp_path: Path) -> None:
    config = ClusterConfig(name="ci", nodes=3, egress="off")
    config.save(tmp_path / "cluster.json")
    assert ClusterConfig.load(tmp_path / "cluster.json") == config


def test_a_kind_file_is_honoured_and_the_rest_is_named() -> None:
    settings, warnings = from_kind(
        {
            "kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "name": "ci",
            "nodes": [{"role": "control-plane", "image": "x"}, {"role": "worker"}],
            "networking": {
                "podSubnet": "10.9.0.0/16", "kubeProxyMode": "iptables", "disableDefaultCNI": True,
            },
            "featureGates": {"A": True},
        }
    )  # fmt: skip
    assert settings == {
        "name": "ci", "nodes": 2, "pod_cidr": "10.9.0.0/16", "proxy_mode": "iptables",
    }  # fmt: skip
    assert warnings == [
        "nodes[].image has no meaning here",
        "networking.disableDefaultCNI has no meaning here",
        "featureGates has no meaning here",
    ]


def test_another_document_is_refused() -> None:
    with pytest.raises(BadConfig, match="holds `kind: Cluster`"):
        from_kind({"kind": "Pod"})
    with pytest.raises(BadConfig, match="v1alpha4"):
        from_kind({"kind": "Cluster", "apiVersion": "v1"})
