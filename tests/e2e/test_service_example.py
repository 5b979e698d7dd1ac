"""The articles' main example, with real kubectl and real packets (examples/01-service)."""

from pathlib import Path

import pytest
from machine import Machine, eventually

pytestmark = pytest.mark.e2e

EXAMPLE = Path(__file__).parents[2] / "examples" / "01-service"
ALL = "app=serve-demo"


@pytest.fixture(scope="module")
def example(cluster: Machine) -> Machine:
    """The example applied and rolled out."""
    if not cluster.kubectl_program:
        pytest.skip("no kubectl ($KUBECTL or PATH)")
    for name in ("serve.yaml", "client.yaml"):
        cluster.kubectl("apply", "-f", str(EXAMPLE / name))
    cluster.kubectl("rollout", "status", "deployment", "serve-demo", "--timeout", "60s")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout", "60s")
    return cluster


def pods(machine: Machine) -> list[str]:
    """Names of the servers that run and are not on their way out."""
    items = machine.json("get", "pods", "-l", ALL)["items"]
    return sorted(p["metadata"]["name"] for p in items if "deletionTimestamp" not in p["metadata"])


def cluster_ip(machine: Machine, name: str = "serve-svc") -> str:
    return machine.out("get", "svc", name, "-o", "jsonpath={.spec.clusterIP}")


def in_client(machine: Machine, *words: str) -> str:
    return machine.out("exec", "client", "--", *words)


def answers(machine: Machine, url: str, *, times: int = 40, pod: bool = False) -> set[str]:
    script = f"for i in $(seq {times}); do curl -s -m 2 {url}; echo; done"
    text = in_client(machine, "sh", "-c", script) if pod else machine.run("sh", "-c", script).stdout
    return {line.strip() for line in text.splitlines() if line.strip()}


def test_pods_have_addresses_and_are_spread_over_both_nodes(example: Machine) -> None:
    lines = example.out("get", "pods", "-l", ALL, "-o", "wide").splitlines()
    assert lines[0].split()[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    rows = [line.split() for line in lines[1:]]
    assert len(rows) == 3
    assert {row[1] for row in rows} == {"1/1"}
    assert all(row[5].startswith("10.244.") for row in rows)
    assert {row[6] for row in rows} == {"node1", "node2"}


def test_the_service_and_its_endpoints_are_shown(example: Machine) -> None:
    row = example.out("get", "svc", "serve-svc").splitlines()[1].split()
    assert row[:2] == ["serve-svc", "ClusterIP"]
    assert row[2].startswith("10.")
    assert row[3:5] == ["<none>", "80/TCP"]
    endpoints = example.out("get", "endpoints", "serve-svc")
    assert endpoints.count(":9376") == 3
    assert "serve-svc" in example.out("get", "endpointslices")
    described = example.out("describe", "svc", "serve-svc")
    assert "TargetPort:" in described
    assert described.count(":9376") >= 3


def test_the_cluster_ip_answers_with_all_three_names_from_host_and_pod(example: Machine) -> None:
    assert answers(example, cluster_ip(example)) == set(pods(example))
    assert answers(example, cluster_ip(example), pod=True) == set(pods(example))


@pytest.mark.parametrize(
    "name", ["serve-svc", "serve-svc.default", "serve-svc.default.svc.cluster.local"]
)
def test_a_pod_reaches_the_service_by_name(example: Machine, name: str) -> None:
    assert answers(example, name, times=3, pod=True) <= set(pods(example))


def test_pod_addresses_answer_from_the_host_and_from_a_pod(example: Machine) -> None:
    for pod in example.json("get", "pods", "-l", ALL)["items"]:
        url = f"{pod['status']['podIP']}:9376"
        assert answers(example, url, times=1) == {pod["metadata"]["name"]}
        assert answers(example, url, times=1, pod=True) == {pod["metadata"]["name"]}


def test_logs_and_exec_work(example: Machine) -> None:
    name = pods(example)[0]
    assert in_client(example, "hostname") == "client"
    assert (
        example.kubectl("exec", "client", "--", "sh", "-c", "exit 7", check=False).returncode == 7
    )
    assert example.kubectl("exec", "-i", "client", "--", "cat", stdin="hello").stdout == "hello"
    assert example.kubectl("logs", name).returncode == 0


def test_resolv_conf_is_the_clusters(example: Machine) -> None:
    text = in_client(example, "cat", "/etc/resolv.conf")
    assert "nameserver 10.96.0.10" in text
    assert "search default.svc.cluster.local svc.cluster.local cluster.local" in text
    assert "ndots:5" in text


def test_names_resolve_in_a_pod_both_ways(example: Machine) -> None:
    ip = cluster_ip(example)
    forward = in_client(example, "getent", "hosts", "serve-svc")
    assert forward.split() == [ip, "serve-svc.default.svc.cluster.local"]
    backward = in_client(example, "getent", "hosts", ip)
    assert backward.split() == [ip, "serve-svc.default.svc.cluster.local"]


def test_service_variables_are_injected(example: Machine) -> None:
    eventually(lambda: "serve-svc" in example.out("get", "svc"))
    example.kubectl("run", "late", "--image=localhost/host", "--restart=Never", "--", "env")
    eventually(
        lambda: example.out("get", "pod", "late", "-o", "jsonpath={.status.phase}") == "Succeeded"
    )
    text = example.out("logs", "late")
    assert f"SERVE_SVC_SERVICE_HOST={cluster_ip(example)}" in text
    assert f"SERVE_SVC_PORT_80_TCP_ADDR={cluster_ip(example)}" in text
    example.kubectl("delete", "pod", "late", "--now")


def test_a_killed_pod_leaves_the_endpoints_and_its_replacement_joins(example: Machine) -> None:
    before = pods(example)
    example.kubectl("delete", "pod", before[0], "--wait=false")

    def replaced() -> bool:
        now = pods(example)
        return (
            len(now) == 3
            and before[0] not in now
            and answers(example, cluster_ip(example)) == set(now)
        )

    assert eventually(replaced, within_s=20)


def test_scale_set_image_rollout_and_expose(example: Machine) -> None:
    example.kubectl("scale", "deployment", "serve-demo", "--replicas=5")
    example.kubectl("rollout", "status", "deployment", "serve-demo", "--timeout", "30s")
    assert example.out("get", "endpoints", "serve-svc", "-o", "json").count('"ip"') == 5
    example.kubectl("scale", "deployment", "serve-demo", "--replicas=3")
    eventually(lambda: len(pods(example)) == 3)
    example.kubectl("set", "image", "deployment/serve-demo", "serve-hostname=nowhere/none:1")

    def stuck() -> bool:
        text = example.out("get", "pods", "-l", ALL)
        return "ErrImagePull" in text or "ImagePullBackOff" in text

    assert eventually(stuck, within_s=30)
    example.kubectl("rollout", "undo", "deployment/serve-demo")
    example.kubectl("rollout", "status", "deployment", "serve-demo", "--timeout", "60s")
    example.kubectl(
        "expose", "deployment", "serve-demo", "--name=exposed", "--port=81", "--target-port=9376"
    )
    url = f"{cluster_ip(example, 'exposed')}:81"
    assert eventually(lambda: answers(example, url) == set(pods(example)))


def test_node_port_headless_external_name_and_endpoints_by_hand(example: Machine) -> None:
    target = example.json("get", "pods", "-l", ALL)["items"][0]
    text = (
        (EXAMPLE / "more-services.yaml")
        .read_text()
        .replace("10.244.0.2", target["status"]["podIP"])
    )
    example.kubectl("apply", "-f", "-", stdin=text)
    names = set(pods(example))
    for node in ("node1", "node2"):
        address = example.out("get", "node", node, "-o", "jsonpath={.status.addresses[0].address}")
        assert eventually(lambda address=address: answers(example, f"{address}:30080") == names)
    ips = {p["status"]["podIP"] for p in example.json("get", "pods", "-l", ALL)["items"]}

    def headless() -> bool:
        return set(in_client(example, "getent", "ahostsv4", "serve-headless").split()) >= ips

    assert eventually(headless)
    assert answers(example, "serve-external", times=3, pod=True) <= names
    by_hand = cluster_ip(example, "serve-by-hand")
    assert eventually(lambda: answers(example, by_hand) == {target["metadata"]["name"]})


def test_deleting_the_example_ends_the_service(example: Machine) -> None:
    ip = cluster_ip(example)
    for name in ("more-services.yaml", "serve.yaml", "client.yaml"):
        example.kubectl("delete", "--ignore-not-found", "-f", str(EXAMPLE / name))
    eventually(lambda: not pods(example))
    assert answers(example, ip, times=1) == set()
