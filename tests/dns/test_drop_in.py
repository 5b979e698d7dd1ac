"""In CoreDNS' place: as a pod runs it, without root, with one capability and nothing to write to;
its pages, signals and rights.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from sampan.linux.real import netns
from tests.dns.clusters import namespace
from tests.dns.desk import answers
from tests.dns.test_outage import KUBECONFIG, created, stage, until
from tests.dns.test_processes import ask

NET_BIND_SERVICE = 1 << 10
SANDBOX = """set -e
mount --make-rprivate /
{uncover}
mount -t tmpfs -o mode=755 none /srv
cat > /srv/Corefile <<'END'
{corefile}
END
for target in $(awk '{{print $5}}' /proc/self/mountinfo); do
    case $target in
    /proc*|/sys*|/dev*) ;;
    *) if mountpoint -q "$target"; then mount -o remount,bind,ro "$target"; fi ;;
    esac
done
exec setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs \\
    --inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service \\
    --bounding-set=-all,+net_bind_service \\
    env -i PYTHONPATH={source} PYTHONDONTWRITEBYTECODE=1 {python} -m sampan dns {flags}
"""
COREFILE = """.:53 {
    errors
    log
    health {
       lameduck 4s
    }
    ready
    hosts /dev/null {
       192.0.2.1 a.example.org
       fallthrough
    }
    kubernetes cluster.local {
       endpoint http://127.0.0.1:1
       startup_timeout 100ms
    }
    prometheus :9153
    cache 30
    loop
    reload
    loadbalance
}"""


def uncovered() -> str:
    """Commands that let everybody read the interpreter, where it lies in somebody's home."""
    found: dict[str, str] = {}
    for place in (Path(sys.executable).resolve(), Path(__file__).resolve()):
        for parent in reversed(place.parents):
            if not parent.stat().st_mode & 0o001:
                below = parent / place.relative_to(parent).parts[0]
                found[str(parent)] = (
                    f"mount --bind {below} /srv\nmount -t tmpfs -o mode=755 none {parent}\n"
                    f"mkdir {below}\nmount --move /srv {below}\n"
                )
                break
    return "".join(found.values())


@pytest.fixture
def own_network(tmp_path: Path) -> Iterator[None]:
    path = str(tmp_path / "netns")
    netns.create(path)
    try:
        with netns.inside(path):
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            yield
    finally:
        netns.remove(path)


@contextmanager
def sandboxed(folder: Path, flags: str = "-conf /srv/Corefile") -> Iterator[tuple[int, Path]]:
    log = folder / "log"
    script = SANDBOX.format(
        uncover=uncovered(), corefile=COREFILE, flags=flags,
        python=Path(sys.executable), source=Path(__file__).parents[2] / "src",
    )  # fmt: skip
    with log.open("w") as out:
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script], stdout=out, stderr=out, stdin=subprocess.DEVNULL
        )
    try:
        while "Sampan-" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
        yield process.pid, log
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait(10)


def page(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as shown:
            return shown.status, shown.read().decode()
    except urllib.error.HTTPError as bad:
        return bad.code, bad.read().decode()


def is_closed(port: int) -> bool:
    try:
        page(port, "/")
    except (urllib.error.URLError, ConnectionError):
        return True
    return False


@pytest.mark.kernel
@pytest.mark.usefixtures("own_network")
def test_without_root_with_one_capability_and_nothing_to_write_to(tmp_path: Path) -> None:
    with sandboxed(tmp_path) as (pid, log):
        status = Path(f"/proc/{pid}/status").read_text()
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert facts["Uid"].split() == ["65532"] * 4
        for name in ("CapEff", "CapPrm", "CapBnd"):
            assert int(facts[name], 16) == NET_BIND_SERVICE, name
        assert facts["NoNewPrivs"].strip() == "1"
        inside = ["nsenter", "-t", str(pid), "-m", "touch", "/srv/x", "/tmp/x"]
        assert subprocess.run(inside, capture_output=True, check=False).returncode

        for tcp in (False, True):
            assert answers(ask(53, tcp=tcp)) == ["a.example.org. 30 IN A 192.0.2.1"]
        assert page(8080, "/health") == (200, "OK")
        assert page(8181, "/ready") == (503, "kubernetes")
        code, counters = page(9153, "/metrics")
        assert code == 200
        assert "coredns_dns_requests_total{" in counters
        os.kill(pid, signal.SIGHUP)  # means nothing
        os.kill(pid, signal.SIGUSR1)
        until(lambda: "[INFO] Reloading complete" in log.read_text())
        assert answers(ask(53))[0].endswith(" IN A 192.0.2.1")

        os.kill(pid, signal.SIGTERM)
        until(lambda: is_closed(8181), within_s=3)
        assert page(8080, "/health") == (200, "OK")
        for _ in range(5):
            assert answers(ask(53))[0].endswith(" IN A 192.0.2.1")
        assert Path(f"/proc/{pid}").exists()
    said = log.read_text()
    assert "[INFO] SIGTERM: Shutting down servers then terminating" in said
    assert '"A IN a.example.org. udp 31 false 512" NOERROR qr,aa,rd 60 ' in said


@pytest.mark.kernel
@pytest.mark.usefixtures("own_network")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_other_signals_end_it_at_once(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "Corefile").write_text(".:53 {\n whoami\n}\n")
    words = [sys.executable, "-m", "sampan", "dns", "-conf", str(tmp_path / "Corefile")]
    with ended(subprocess.Popen(words, stdout=subprocess.PIPE, text=True)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Sampan-"):
                break
        process.send_signal(number)
        assert process.wait(10) == (0 if number == signal.SIGINT else 3)


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Whatever the test finds, the process does not outlive it."""
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.kernel
@pytest.mark.usefixtures("own_network")
def test_a_corefile_from_the_standard_input_a_pid_file_and_a_port(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    words = [sys.executable, "-m", "sampan", "dns", "-conf", "stdin", "-pidfile", str(pid_file),
             "-dns.port=1053", "-quiet"]  # fmt: skip

    def answered() -> bool:
        try:
            return bool(answers(ask(1053, tcp=True)))
        except OSError:
            return False

    pipe = subprocess.PIPE
    with ended(subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(". {\n hosts /dev/null {\n 192.0.2.1 a.example.org\n }\n}\n")
        process.stdin.close()
        until(answered)
        assert int(pid_file.read_text()) == process.pid
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "[INFO] Reloading\n"
        assert process.stdout.readline() == "[INFO] Reloading complete\n"
        assert answers(ask(1053)) == ["a.example.org. 3600 IN A 192.0.2.1"]
        process.terminate()
        assert process.wait(10) == 0
        assert "Sampan-" not in process.stdout.read()


DEPLOY = Path(__file__).parents[2] / "deploy" / "dns.yaml"
NODE_LOCAL = DEPLOY.with_name("node-local-dns.yaml")
ACCOUNT = "system:serviceaccount:kube-system:coredns"
RIGHTS: list[tuple[str, str, bool]] = [
    ("GET", "/api/v1/services", True),
    ("GET", "/api/v1/namespaces", True),
    ("GET", "/api/v1/pods", True),
    ("GET", "/apis/discovery.k8s.io/v1/endpointslices", True),
    ("GET", "/api/v1/secrets", False),
    ("GET", "/api/v1/configmaps", False),
    ("GET", "/api/v1/nodes", False),
    ("GET", "/api/v1/namespaces/kube-system/pods/x", False),
    ("DELETE", "/api/v1/namespaces/default/services/kubernetes", False),
    ("POST", "/api/v1/namespaces/default/services", False),
]


@pytest.mark.e2e
def test_the_manifest_s_rights_are_enough_and_no_more(tmp_path: Path) -> None:
    """The server's own token, with the ClusterRole of deploy/dns.yaml and nothing else."""
    objects = [obj for obj in yaml.safe_load_all(DEPLOY.read_text()) if obj]
    with stage(tmp_path) as world:
        with (tmp_path / "tokens.csv").open("a") as file:
            file.write(f"least,{ACCOUNT},2\n")
        world.start_api()
        for obj in objects:
            if obj["kind"] in ("ClusterRole", "ClusterRoleBinding"):
                path = f"/apis/rbac.authorization.k8s.io/v1/{obj['kind'].lower()}s"
                world.send("POST", path, obj)
            else:
                # The rest is valid as well, by the API server's own rules.
                if obj["kind"] == "Service":
                    obj["spec"]["clusterIP"] = "10.0.0.10"
                world.send("POST", f"{collection(obj)}?dryRun=All", obj)
        for obj in yaml.safe_load_all(NODE_LOCAL.read_text()):
            world.send("POST", f"{collection(obj)}?dryRun=All", obj)
        for method, path, allowed in RIGHTS:
            assert (status(world.api, "least", method, path) not in (401, 403)) == allowed, path
        demo = namespace("demo")
        del demo["metadata"]["resourceVersion"]
        world.put(demo, "/api/v1/namespaces")
        world.put(created("web", "10.0.0.77"), "/api/v1/namespaces/demo/services")
        (tmp_path / "kubeconfig").write_text(KUBECONFIG.format(port=world.api, token="least"))
        text = (tmp_path / "Corefile").read_text()
        (tmp_path / "Corefile").write_text(
            text.replace("    snapshot ", "    pods verified\n    snapshot ")
        )
        world.start_dns()
        assert world.found("web") == ["10.0.0.77"]
        assert world.is_ready()


def collection(obj: dict[str, Any]) -> str:
    version, kind = obj["apiVersion"], obj["kind"].lower() + "s"
    base = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    return f"{base}/namespaces/{obj['metadata']['namespace']}/{kind}"


def status(port: int, token: str, method: str, path: str) -> int:
    words = ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "-X", method, "-H",
             f"authorization: Bearer {token}", f"https://127.0.0.1:{port}{path}"]  # fmt: skip
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
