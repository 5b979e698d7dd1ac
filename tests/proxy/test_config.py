"""KubeProxyConfiguration and flags: upstream's names and defaults, ours over them."""

from __future__ import annotations

import pytest

from sampan.cli.flagset import BadFlag, FlagSet
from sampan.cli.proxy import run
from sampan.cli.proxy_flags import FIELDS, flag_set, layer
from sampan.proxy.config import BadConfig, configuration, defaults, seconds, settings
from sampan.proxy.settings import Detector

NODE = {
    "metadata": {"name": "n1"},
    "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "fd00:1::/64"]},
    "status": {
        "addresses": [
            {"type": "Hostname", "address": "n1"},
            {"type": "InternalIP", "address": "192.168.77.1"},
            {"type": "InternalIP", "address": "fd00:77::1"},
        ]
    },
}
LOCAL = ("127.0.0.1", "192.168.77.1", "192.168.77.3", "fd00:77::1")


def families(**config: object):  # type: ignore[no-untyped-def]
    made = settings(configuration(config), node_name="n1", node=NODE, local_ips=LOCAL)
    return made.families


def test_a_file_lies_over_the_defaults_and_flags_over_the_file() -> None:
    config = configuration(
        {"mode": "iptables", "iptables": {"masqueradeBit": 5}}, {"mode": "nftables"}
    )
    assert config["mode"] == "nftables"
    assert config["iptables"]["masqueradeBit"] == 5
    assert config["iptables"]["syncPeriod"] == "30s"
    assert defaults()["mode"] == "nftables"


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"mode": "kernelspace"}, "mode"),
        ({"iptable": {}}, "iptable"),
        ({"iptables": {"masqueradeBits": 1}}, "iptables.masqueradeBits"),
        ({"clusterCIDR": "10.244.0.0"}, "10.244.0.0/33"),
        ({"clusterCIDR": "pods"}, "clusterCIDR"),
    ],
)
def test_a_mistake_is_named_by_its_field(config: dict[str, object], field: str) -> None:
    if field.endswith("/33"):
        config = {"clusterCIDR": field}
        field = "clusterCIDR"
    with pytest.raises(BadConfig, match=field.replace(".", r"\.")):
        configuration(config)


def test_durations_are_gos() -> None:
    assert seconds("1h0m0s") == 3600
    assert seconds("500ms") == 0.5
    assert seconds("0") == 0
    with pytest.raises(BadConfig, match="duration"):
        seconds("soon")


def test_node_ports_are_served_where_upstream_serves_them() -> None:
    assert [one.node_port_ips for one in families(mode="nftables")] == [
        ("192.168.77.1",),
        ("fd00:77::1",),
    ]
    assert [one.node_port_ips for one in families(mode="iptables")] == [None, None]
    chosen = families(mode="iptables", nodePortAddresses=["192.168.77.3/32"])
    assert [one.node_port_ips for one in chosen] == [("192.168.77.3",), None]
    everywhere = families(mode="nftables", nodePortAddresses=["0.0.0.0/0"])
    assert everywhere[0].node_port_ips is None
    words = families(mode="nftables", nodePortAddresses=["primary", "localhost"])
    # Rules cannot serve them at the loopback address, except iptables' with route_localnet.
    assert words[0].node_port_ips == ("192.168.77.1",)
    looped = families(mode="iptables", nodePortAddresses=["192.168.77.0/24", "127.0.0.0/8"])
    # In the order of the machine, as upstream.
    assert looped[0].node_port_ips == ("127.0.0.1", "192.168.77.1", "192.168.77.3")
    shut = {"localhostNodePorts": False}
    looped = families(mode="iptables", nodePortAddresses=["127.0.0.0/8"], iptables=shut)
    assert looped[0].node_port_ips == ()


def test_only_iptables_mode_serves_node_ports_at_the_loopback() -> None:
    assert [one.localhost_node_ports for one in families(mode="iptables")] == [True, False]
    assert not families(mode="nftables")[0].localhost_node_ports
    closed = families(mode="iptables", iptables={"localhostNodePorts": False})
    assert not closed[0].localhost_node_ports
    bound = families(mode="iptables", nodePortAddresses=["192.168.77.1/32"])
    assert not bound[0].localhost_node_ports


def test_a_process_listens_at_the_loopback_where_rules_cannot_serve_it() -> None:
    def listening(**config: object) -> list[bool]:
        return [one.loopback_listeners for one in families(**config)]

    assert listening(mode="nftables") == [False, False]
    assert listening(mode="nftables", nodePortAddresses=["localhost"]) == [True, True]
    assert listening(mode="nftables", nodePortAddresses=["primary", "localhost"]) == [True, True]
    assert listening(mode="nftables", nodePortAddresses=["127.0.0.0/8", "fd00::/16"]) == [
        True,
        False,
    ]
    assert listening(mode="nftables", nodePortAddresses=["all"]) == [True, True]
    for mode in ("ebpf", "userspace"):
        assert listening(mode=mode) == [True, True]
        assert listening(mode=mode, nodePortAddresses=["primary"]) == [False, False]
        off = {"KubeProxyNFTablesLocalhostNodePorts": False}
        assert listening(mode=mode, featureGates=off) == [False, False]
    for mode in ("iptables", "ipvs"):
        assert listening(mode=mode, nodePortAddresses=["localhost"]) == [False, False]


def test_pods_are_told_from_others_by_the_chosen_mode() -> None:
    both = families(clusterCIDR="10.244.0.0/16,fd00:1::/48")
    assert [one.detector.cidrs for one in both] == [("10.244.0.0/16",), ("fd00:1::/48",)]
    node = families(detectLocalMode="NodeCIDR")
    assert [one.detector.cidrs for one in node] == [("10.244.1.0/24",), ("fd00:1::/64",)]
    prefix = families(
        detectLocalMode="InterfaceNamePrefix", detectLocal={"interfaceNamePrefix": "veth"}
    )
    assert prefix[0].detector == Detector(interface="veth*")
    with pytest.raises(BadConfig, match="detectLocalMode"):
        families(detectLocalMode="Magic")


@pytest.fixture
def flags() -> FlagSet:
    return flag_set()


def test_flags_become_configuration(flags: FlagSet) -> None:
    words = ["--proxy-mode=iptables", "--masquerade-all", "-v=4", "--kube-api-qps=7", "--profiling"]
    lists = ["--nodeport-addresses", "10.0.0.0/8", "--nodeport-addresses=primary,localhost"]
    gates = ["--feature-gates=A=true,B=F"]
    times = ["--iptables-sync-period=90s", "--conntrack-udp-timeout", "1.5s"]
    config = configuration(layer(flags, flags.parse([*words, *lists, *gates, *times])))
    assert config["mode"] == "iptables"
    assert config["iptables"]["masqueradeAll"] is True
    assert config["nftables"]["masqueradeAll"] is True
    assert config["nodePortAddresses"] == ["10.0.0.0/8", "primary", "localhost"]
    assert config["logging"]["verbosity"] == 4
    assert config["clientConnection"]["qps"] == 7
    assert config["enableProfiling"] is True
    assert config["featureGates"] == {"A": True, "B": False}
    assert config["iptables"]["syncPeriod"] == "1m30s"
    assert config["conntrack"]["udpTimeout"] == "1.5s"


def test_flags_that_are_not_named_say_nothing(flags: FlagSet) -> None:
    assert layer(flags, flags.parse([])) == {}


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_flags_default_is_its_fields(flags: FlagSet, name: str) -> None:
    said = next(one.default for one in (*flags.flags.values(), *flags.in_vain) if one.name == name)
    for path in FIELDS[name]:
        place: object = defaults()
        for part in path.split("."):
            assert isinstance(place, dict)
            assert part in place, path
            place = place[part]
        if said:
            words = [] if said == "true" and place is True else [f"--{name}={said}"]
            config: object = layer(flags, flags.parse(words)) if words else defaults()
            for part in path.split("."):
                assert isinstance(config, dict)
                config = config[part]
            assert config == place


@pytest.mark.parametrize(
    "text", ["0s", "250ms", "1s", "1.5s", "1m30s", "15m0s", "1h0m0s", "24h0m0s"]
)
def test_durations_are_written_as_go_writes_them(flags: FlagSet, text: str) -> None:
    given = flags.parse([f"--conntrack-udp-timeout={text}"])
    assert layer(flags, given) == {"conntrack": {"udpTimeout": text}}


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["--proxymode", "x"], "unknown flag: --proxymode"),
        (["--proxy-mode"], "flag needs an argument: --proxy-mode"),
        (["--conntrack-min=many"], 'invalid argument "many" for "--conntrack-min" flag'),
        (["--masquerade-all=maybe"], 'invalid argument "maybe" for "--masquerade-all" flag'),
        (["--config-sync-period=1"], 'invalid argument "1" for "--config-sync-period" flag'),
        (["word"], r"takes no arguments, got \['word'\]"),
    ],
)
def test_a_bad_flag_is_told_as_upstream_tells_it(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadFlag, match=says):
        flag_set().parse(argv)
    assert run(argv) == 1
    told = capsys.readouterr().err
    assert told.startswith("sampan proxy: ")
    assert told.count("\n") == 1


def test_a_bad_configuration_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--proxy-mode=magic"]) == 1
    assert capsys.readouterr().err.startswith("sampan proxy: mode: 'magic' is none of")


def test_a_cluster_range_is_read_as_a_range_of_each_family() -> None:
    made = families(clusterCIDR="10.244.3.7/16,fd00:10:244:0::1/56")
    assert [one.detector.cidrs for one in made] == [("10.244.0.0/16",), ("fd00:10:244::/56",)]
