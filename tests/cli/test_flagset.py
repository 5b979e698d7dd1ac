"""Flags as upstream's components take them."""

from __future__ import annotations

import pytest

from sampan.cli import (
    apiserver_flags,
    controllers_flags,
    kubelet_flags,
    proxy_flags,
    scheduler_flags,
)
from sampan.cli.flagset import KINDS, BadFlag, FlagSet, duration, no_effect

TABLE = """
= Serving
bind-address | ip | 0.0.0.0 | address to listen on
secure-port | int | 6443 | port
leader-elect | bool | true | work only while holding the lease
plugins | list | a,b | which
labels | map | | of the node
wait | duration | 1m0s | how long
v | int | 0 | more logs
help | bool | | this text
"""
IGNORED = """
etcd-servers list
profiling bool
feature-gates gates
"""
PARTS = (apiserver_flags, controllers_flags, scheduler_flags, kubelet_flags, proxy_flags)


@pytest.fixture
def flags() -> FlagSet:
    return FlagSet("sampan part", "A part.", TABLE, IGNORED)


def test_values_stand_behind_an_equals_sign_or_in_the_next_word(flags: FlagSet) -> None:
    given = flags.parse(["--secure-port=1", "--bind-address", "::1", "-v=4", "--wait", "90s"])
    assert (given["secure-port"], given["bind-address"], given["v"]) == (1, "::1", 4)
    assert given["wait"] == 90
    assert given.named == {"secure-port", "bind-address", "v", "wait"}
    assert flags.parse(["-v", "3"])["v"] == 3
    assert flags.parse(["-v3"])["v"] == 3
    assert flags.parse(["--secure_port=7"])["secure-port"] == 7, "as upstream normalizes names"


def test_a_switch_takes_no_second_word(flags: FlagSet) -> None:
    assert flags.parse([])["leader-elect"] is True
    assert flags.parse(["--leader-elect=false"])["leader-elect"] is False
    assert flags.parse(["--leader-elect=0"])["leader-elect"] is False
    assert flags.parse(["--leader-elect"])["leader-elect"] is True
    with pytest.raises(BadFlag, match=r"takes no arguments, got \['false'\]"):
        flags.parse(["--leader-elect", "false"])


def test_lists_grow_and_their_default_goes_when_one_is_named(flags: FlagSet) -> None:
    assert flags.parse([])["plugins"] == ("a", "b")
    assert flags.parse(["--plugins=c", "--plugins", "d, e"])["plugins"] == ("c", "d", "e")
    assert flags.parse(["--labels=a=b,c=", "--labels=d=e"])["labels"] == {
        "a": "b", "c": "", "d": "e",
    }  # fmt: skip


def test_the_last_of_a_plain_flag_counts(flags: FlagSet) -> None:
    assert flags.parse(["--secure-port=1", "--secure-port=2"])["secure-port"] == 2


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["--secure"], "unknown flag: --secure"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["--secure-port"], "flag needs an argument: --secure-port"),
        (["--secure-port=many"], 'invalid argument "many" for "--secure-port" flag'),
        (["--secure-port="], 'invalid argument "" for "--secure-port" flag'),
        (["--leader-elect=maybe"], 'invalid argument "maybe" for "--leader-elect" flag'),
        (["--bind-address=host"], 'invalid argument "host" for "--bind-address" flag'),
        (["--wait=soon"], "no duration such as 40s"),
        (["--feature-gates=A"], "missing value for A"),
        (["--feature-gates=A=x"], "invalid value of A=x"),
        (["word"], r"takes no arguments, got \['word'\]"),
        (["--", "word"], r"takes no arguments, got \['word'\]"),
    ],
)
def test_what_cannot_be_is_told_in_upstreams_words(
    flags: FlagSet, argv: list[str], says: str
) -> None:
    with pytest.raises(BadFlag, match=says):
        flags.parse(argv)


def test_flags_without_effect_are_taken_and_named(flags: FlagSet) -> None:
    given = flags.parse(["--etcd-servers", "http://x", "--profiling=false", "--profiling"])
    assert no_effect(given) == "without effect here: --etcd-servers, --profiling"
    assert no_effect(flags.parse([])) == ""


def test_the_help_has_sections_and_defaults(flags: FlagSet) -> None:
    text = flags.help()
    assert "Serving:" in text
    assert "--secure-port int" in text
    assert "(default 6443)" in text
    assert "-v, --v int" in text
    assert "--etcd-servers" in text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h30m", 5400), ("250ms", 0.25), ("0", 0), ("1.5s", 1.5), ("-2s", -2), ("1h0m0s", 3600)],
)
def test_durations_are_go_s(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__.rpartition(".")[2])
def test_the_tables_of_every_part_hold_together(part: object) -> None:
    made = FlagSet("part", "", part.TABLE, part.IGNORED)  # type: ignore[attr-defined]
    assert not set(made.flags) & set(made.ignored), "a flag has an effect, or it has none"
    assert set(made.ignored.values()) <= set(KINDS)
    assert {flag.kind for flag in made.flags.values()} <= set(KINDS)
    given = made.parse([])
    assert given["help"] is False
    assert all(flag.section and flag.text for flag in made.flags.values())


KUBEADM = """
--advertise-address=192.0.2.1 --allow-privileged=true --authorization-mode=Node,RBAC
--client-ca-file=/p/ca.crt --enable-admission-plugins=NodeRestriction
--enable-bootstrap-token-auth=true --etcd-cafile=/p/e.crt --etcd-certfile=/p/c.crt
--etcd-keyfile=/p/c.key --etcd-servers=https://127.0.0.1:2379
--kubelet-client-certificate=/p/k.crt --kubelet-client-key=/p/k.key
--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname
--proxy-client-cert-file=/p/f.crt --proxy-client-key-file=/p/f.key
--requestheader-allowed-names=front-proxy-client --requestheader-client-ca-file=/p/fca.crt
--requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group
--requestheader-username-headers=X-Remote-User --secure-port=6443
--service-account-issuer=https://kubernetes.default.svc.cluster.local
--service-account-key-file=/p/sa.pub --service-account-signing-key-file=/p/sa.key
--service-cluster-ip-range=10.96.0.0/16 --tls-cert-file=/p/a.crt --tls-private-key-file=/p/a.key
"""
MANAGER = """
--allocate-node-cidrs=true --authentication-kubeconfig=/c --authorization-kubeconfig=/c
--bind-address=127.0.0.1 --client-ca-file=/p/ca.crt --cluster-cidr=10.244.0.0/16
--cluster-name=kubernetes --cluster-signing-cert-file=/p/ca.crt
--cluster-signing-key-file=/p/ca.key --controllers=*,bootstrapsigner,tokencleaner
--kubeconfig=/c --leader-elect=true --requestheader-client-ca-file=/p/fca.crt
--root-ca-file=/p/ca.crt --service-account-private-key-file=/p/sa.key
--service-cluster-ip-range=10.96.0.0/16 --use-service-account-credentials=true
"""
SCHEDULER = """
--authentication-kubeconfig=/c --authorization-kubeconfig=/c --bind-address=127.0.0.1
--kubeconfig=/c --leader-elect=true
"""
KUBELET = """
--bootstrap-kubeconfig=/b --kubeconfig=/c --config=/v/config.yaml --node-ip=192.0.2.3
--container-runtime-endpoint=unix:///run/containerd/containerd.sock
--pod-infra-container-image=registry.k8s.io/pause:3.10
"""
PROXY = """
--config=/var/lib/kube-proxy/config.conf --hostname-override=n1
"""


@pytest.mark.parametrize(
    ("part", "text"),
    list(zip(PARTS, (KUBEADM, MANAGER, SCHEDULER, KUBELET, PROXY), strict=True)),
    ids=["apiserver", "controllers", "scheduler", "kubelet", "proxy"],
)
def test_the_manifests_of_kubeadm_are_understood(part: object, text: str) -> None:
    made = FlagSet("part", "", part.TABLE, part.IGNORED)  # type: ignore[attr-defined]
    given = made.parse(text.split())
    assert given.named | set(given.ignored) == {
        word.lstrip("-").partition("=")[0] for word in text.split()
    }
