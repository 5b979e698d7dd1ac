"""A KubeProxyConfiguration in a file, and flags beside it, as upstream takes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.api.meta import Json
from sampan.cli.proxy import beside, merged
from sampan.cli.proxy_flags import flag_set
from sampan.proxy.config import BadConfig, configuration
from sampan.proxy.configfile import read, with_port
from sampan.proxy.validation import check

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"


def given(text: str) -> Json:
    config = configuration(read((HEAD + text).encode()))
    check(config)
    return config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mode: iptables\nmode: nftables\n", '"mode" already set'),
        ("nftables:\n  syncPeriod: 1s\n  syncPeriod: 2s\n", '"syncPeriod" already set'),
        ("modus: iptables\n", "modus: no such field"),
        ("conntrack: many\n", "conntrack: 'many' is no object"),
        ("bindAddressHardFail: 1\n", "bindAddressHardFail: 1 is no true or false"),
        ("oomScoreAdj: true\n", "oomScoreAdj: True is no number"),
        ("nodePortAddresses: primary\n", "nodePortAddresses: 'primary' is no list"),
        ("nodePortAddresses: [here]\n", "nodePortAddresses: 'here'"),
        ("bindAddress: localhost\n", "bindAddress: 'localhost'"),
        ("healthzBindAddress: 0.0.0.0:99999\n", "healthzBindAddress"),
        ("metricsBindAddress: ':10249'\n", "metricsBindAddress"),
        ("oomScoreAdj: 1001\n", "oomScoreAdj: 1001 must be within -1000 and 1000"),
        ("conntrack: {maxPerCore: -1}\n", "conntrack.maxPerCore: -1 must be at least 0"),
        ("iptables: {masqueradeBit: 32}\n", "iptables.masqueradeBit: 32 must be within 0 and 31"),
        ("ipvs: {syncPeriod: 0s}\n", "ipvs.syncPeriod: 0s must be longer"),
        ("nftables: {syncPeriod: 1s, minSyncPeriod: 2s}\n", "nftables.minSyncPeriod"),
        ("conntrack: {udpTimeout: soon}\n", "conntrack.udpTimeout: 'soon' is no duration"),
        ("clusterCIDR: 10.0.0.0/8,10.1.0.0/16\n", "clusterCIDR: at most one"),
        ("detectLocalMode: Magic\n", "detectLocalMode: 'Magic'"),
        ("detectLocalMode: BridgeInterface\n", "detectLocal.bridgeInterface: must be set"),
        (
            "detectLocalMode: InterfaceNamePrefix\n"
            "detectLocal: {interfaceNamePrefix: abcdefghijklmnopq}\n",
            "longer than an interface",
        ),
        ("ipvs: {excludeCIDRs: [10.0.0.0/33]}\n", "ipvs.excludeCIDRs"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_is_told_by_its_field(text: str, words: str) -> None:
    with pytest.raises(BadConfig) as failure:
        given(text)
    assert words in str(failure.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(BadConfig, match=r"oomScoreAdj.*bindAddress"):
        given("oomScoreAdj: 2000\nbindAddress: here\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Pod\napiVersion: v1\n", "no KubeProxyConfiguration"),
        ("apiVersion: kubeproxy.config.k8s.io/v9\nkind: KubeProxyConfiguration\n", "v9"),
        ("kind: KubeProxyConfiguration\n", "apiVersion"),
        ("- a\n", "no KubeProxyConfiguration"),
        ("", "no KubeProxyConfiguration"),
        ("a: [\n", "line"),
    ],
)
def test_what_is_no_configuration_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadConfig) as failure:
        read(text.encode())
    assert words in str(failure.value)


def test_the_pages_follow_the_bind_address() -> None:
    assert given("")["metricsBindAddress"] == "127.0.0.1:10249"
    six = given("bindAddress: '::'\n")
    assert six["healthzBindAddress"] == "[::]:10256"
    assert six["metricsBindAddress"] == "[::1]:10249"
    assert given("healthzBindAddress: 10.0.0.1\n")["healthzBindAddress"] == "10.0.0.1:10256"
    assert given("metricsBindAddress: fd00::1\n")["metricsBindAddress"] == "[fd00::1]:10249"
    assert with_port("0.0.0.0:1", 2) == "0.0.0.0:1"


def test_beside_a_file_only_the_names_and_logs_of_flags_count(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(HEAD + "mode: iptables\nhostnameOverride: one\n")
    words = "--proxy-mode=ipvs --kubeconfig=elsewhere --hostname-override=two -v5 --ebpf-cgroup=a"
    late = "--kube-api-qps=7 --log-flush-frequency=6s"
    given = flag_set().parse([f"--config={path}", *words.split(), *late.split()])
    config = merged(given)
    assert config["mode"] == "iptables"
    assert config["clientConnection"]["kubeconfig"] == ""
    assert config["hostnameOverride"] == "two"
    assert config["logging"]["verbosity"] == 5
    assert config["clientConnection"]["qps"] == 5
    assert config["logging"]["flushFrequency"] == "6s"
    assert beside(given) == ["--kube-api-qps", "--kubeconfig", "--proxy-mode"]


def test_without_a_file_flags_are_the_configuration() -> None:
    words = ["--proxy-mode=ipvs", "--metrics-bind-address=0.0.0.0", "--healthz-bind-address="]
    given = flag_set().parse(words)
    config = merged(given)
    assert config["mode"] == "ipvs"
    assert config["metricsBindAddress"] == "0.0.0.0:10249"
    assert config["healthzBindAddress"] == ""
    assert beside(given) == []


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ("", "0.0.0.0:10256"),
        ("--healthz-port=0", ""),
        ("--healthz-port=80", "0.0.0.0:10256"),
        ("--healthz-bind-address=10.0.0.1", "10.0.0.1:10256"),
        ("--healthz-bind-address=10.0.0.1 --healthz-port=80", "10.0.0.1:80"),
        ("--healthz-bind-address=10.0.0.1:81 --healthz-port=80", "10.0.0.1:81"),
        ("--healthz-bind-address=10.0.0.1:81 --healthz-port=0", ""),
    ],
)
def test_the_old_flag_of_a_port_counts_where_the_address_has_none(words: str, address: str) -> None:
    assert merged(flag_set().parse(words.split()))["healthzBindAddress"] == address


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"--config .*none"):
        merged(flag_set().parse([f"--config={tmp_path / 'none'}"]))
