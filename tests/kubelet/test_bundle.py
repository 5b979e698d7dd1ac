"""From a pod to what the runtime is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sampan.api.meta import Json
from sampan.kubelet import bundle, lastwords, resources
from sampan.kubelet.bundle import BadCommand, BadConfig, Ingredients
from sampan.kubelet.images import Config, Image
from sampan.kubelet.observed import ATTEMPT, CONTAINER_NAME
from sampan.kubelet.places import Places
from sampan.kubelet.settings import HostImage, KubeletSettings
from sampan.linux.base.capabilities import CAPABILITIES
from sampan.linux.base.processes import Container, ContainerState, Exit, Mount, Output, User

SETTINGS = KubeletSettings(
    node_name="n1", root_dir="/r", run_dir="/run/n1", cgroup="sampan/c/n1",
    host_image=HostImage(hidden=("/secret",)),
)  # fmt: skip
HOST = Image("host", host=True, config=Config(env=("PATH=/bin",)))
OCI = Image("sha256:x", ("/l2", "/l1"), config=Config(
    ("/entry",), ("cmd",), ("A=image", "B=image"), "1000:50", "/work"))  # fmt: skip
PARTS = Ingredients("id1", "s1", 3, HOST, {"B": "own"}, {"/data": "/v/data"}, frozenset(), "h", 1)


def pod(**spec: Any) -> Json:
    return {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {
        "containers": [{"name": "c"}], **spec}}  # fmt: skip


def made(image: Image = HOST, container: Json | None = None, **spec: Any) -> Container:
    wanted = {"name": "c", "command": ["x"], **(container or {})}
    return bundle.container(pod(**spec), wanted, replace(PARTS, image=image), SETTINGS)


def test_a_container_of_the_host_image() -> None:
    found = made()
    assert found.root.host
    assert found.root.layers == ("/",)
    assert found.root.hidden == ("/secret", "/r", "/run/n1")
    assert found.cgroup == "sampan/c/n1/u/id1"
    assert found.env == ("PATH=/bin", "HOSTNAME=h", "B=own")
    assert (found.cwd, found.user) == ("/", User("0"))
    assert found.output.path == "/r/logs/pods/ns_p_u/c/3.log"
    assert found.labels[ATTEMPT] == "3"


@pytest.mark.parametrize(
    ("container", "argv"),
    [
        ({"command": None}, ("/entry", "cmd")),
        ({"command": None, "args": ["a"]}, ("/entry", "a")),
        ({"command": ["/mine"]}, ("/mine",)),
        ({"command": ["/mine"], "args": ["$(B)", "$(NO)", "$$(B)"]},
         ("/mine", "own", "$(NO)", "$(B)")),
    ],
)  # fmt: skip
def test_the_command_is_the_images_as_far_as_the_pod_says_nothing(
    container: Json, argv: tuple[str, ...]
) -> None:
    found = made(OCI, container)
    assert found.argv == argv
    assert found.cwd == "/work"
    assert not found.root.host
    assert found.root.hidden == ()
    assert found.env == ("A=image", "B=own", "HOSTNAME=h")


def test_an_image_without_a_command_needs_one() -> None:
    with pytest.raises(BadCommand):
        made(HOST, {"command": []})


@pytest.mark.parametrize(
    ("container", "common", "want"),
    [
        ({}, {}, User("1000", "50")),
        ({"runAsUser": 5}, {"runAsUser": 6}, User("5")),
        ({}, {"runAsUser": 6, "runAsGroup": 7}, User("6", "7")),
        ({}, {"supplementalGroups": [8], "fsGroup": 9}, User("1000", "50", (8, 9))),
        ({}, {"supplementalGroupsPolicy": "Strict"}, User("1000", "50", own_groups=False)),
    ],
)
def test_who_it_runs_as(container: Json, common: Json, want: User) -> None:
    assert made(OCI, {"securityContext": container}, securityContext=common).user == want


@pytest.mark.parametrize(
    ("image_user", "context", "text"),
    [
        ("", {}, "image will run as root"),
        ("0", {}, "image will run as root"),
        ("web", {}, "non-numeric user"),
        ("5", {"runAsUser": 0}, "breaks non-root policy"),
    ],
)
def test_run_as_non_root_is_kept(image_user: str, context: Json, text: str) -> None:
    image = replace(OCI, config=replace(OCI.config, user=image_user))
    with pytest.raises(BadConfig, match=text):
        made(image, {"securityContext": {"runAsNonRoot": True, **context}})
    good = replace(OCI, config=replace(OCI.config, user="5"))
    assert made(good, {"securityContext": {"runAsNonRoot": True}}).user == User("5")


def test_capabilities() -> None:
    assert "NET_RAW" in bundle.capabilities({})
    assert bundle.capabilities({"drop": ["ALL"], "add": ["CAP_NET_ADMIN"]}) == ("NET_ADMIN",)
    assert bundle.capabilities({"add": ["ALL"]}) == CAPABILITIES
    assert "KILL" not in bundle.capabilities({"drop": ["kill"]})


def test_rights() -> None:
    context = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
               "procMount": "Unmasked"}  # fmt: skip
    rights = made(container={"securityContext": context}).rights
    assert (rights.no_new_privileges, rights.readonly_root, rights.unmasked) == (True, True, True)
    assert made(container={"securityContext": {"privileged": True}}).rights.privileged


def test_mounts_come_in_an_order_that_works() -> None:
    mounts = [{"name": "v", "mountPath": "/data/"}, {"name": "w", "mountPath": "/etc",
              "readOnly": True, "mountPropagation": "HostToContainer"}]  # fmt: skip
    parts = replace(PARTS, sources={"/data/": "/v", "/etc": "/w"})
    wanted = {"name": "c", "volumeMounts": mounts, "terminationMessagePath": "/last"}
    found = bundle.mounts(wanted, parts, Places("/r"), "u")
    targets = [mount.target for mount in found]
    assert targets.index("/etc") < targets.index("/etc/hosts")
    assert Mount("/data", "/v") in found
    assert Mount("/etc", "/w", readonly=True, propagation="slave") in found
    assert Mount("/last", "/r/pods/u/containers/c/id1") in found


def test_a_sandbox() -> None:
    spec = {"hostIPC": True, "shareProcessNamespace": True, "securityContext": {
        "sysctls": [{"name": "net.core.somaxconn", "value": "99"}]}}  # fmt: skip
    found = bundle.sandbox(pod(**spec), SETTINGS, "s1", "host-a")
    assert (found.hostname, found.host_network, found.shared_pid) == ("host-a", "", True)
    assert found.sysctls == {"net.core.somaxconn": "99"}
    host = bundle.sandbox(pod(hostNetwork=True, hostPID=True), SETTINGS, "s1", "n1")
    assert host.host_network == "/proc/self/ns/net"
    assert not host.shared_pid


def amounts(**limits: str) -> Json:
    return {"name": "c", "resources": {"limits": limits, "requests": limits}}


def test_limits_of_containers_and_pods() -> None:
    one, other = amounts(cpu="500m", memory="64Mi"), amounts(cpu="1")
    assert resources.container_limits(one).cpu_quota_us == 50_000
    assert resources.container_limits(one).memory_bytes == 64 << 20
    assert resources.container_limits({"name": "c"}).cpu_shares == 2
    whole = resources.pod_limits({"spec": {"containers": [one, other]}}, 100)
    assert whole.cpu_quota_us == 150_000
    assert whole.memory_bytes == 0, "one container has no limit"
    assert (whole.cpu_shares, whole.pids) == (1536, 100)


def test_who_is_killed_first_when_memory_is_short() -> None:
    empty: Json = {"spec": {"containers": []}}
    score = resources.oom_score_adj
    assert score(empty, {}, "BestEffort", 1 << 30) == 1000
    assert score(empty, {}, "Guaranteed", 1 << 30) == -997
    assert score(empty, amounts(memory="512Mi"), "Burstable", 1 << 30) == 500
    assert score(empty, amounts(memory="2Gi"), "Burstable", 1 << 30) == 3
    assert score(empty, {}, "Burstable", 1 << 30) == 999
    critical = {"spec": {"priority": 2_000_001_000}}
    assert score(critical, {}, "BestEffort", 1 << 30) == -997


@pytest.mark.parametrize(
    ("file", "policy", "code", "want"),
    [
        ("words", "", 1, "words"),
        ("", "", 1, ""),
        ("", "FallbackToLogsOnError", 1, "the log\n"),
        ("", "FallbackToLogsOnError", 0, ""),
        ("words", "FallbackToLogsOnError", 1, "words"),
    ],
)
def test_last_words(tmp_path: Path, file: str, policy: str, code: int, want: str) -> None:
    places = Places(str(tmp_path))
    log = tmp_path / "0.log"
    log.write_text("2026-11-20T19:36:01Z stdout F the log\n")
    path = Path(places.termination("u", "c", "id1"))
    path.parent.mkdir(parents=True)
    path.write_text(file)
    spec = Container("id1", "s", ("x",), "g", output=Output(str(log)), labels={CONTAINER_NAME: "c"})
    state = ContainerState(spec, 1, 0.0, Exit(code, 1.0))
    owner = pod()
    owner["spec"]["containers"][0]["terminationMessagePolicy"] = policy
    assert lastwords.message(owner, state, places) == want
