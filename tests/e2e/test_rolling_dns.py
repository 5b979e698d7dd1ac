"""The cluster DNS is replaced again and again under load, and not one query is lost.

`ROLLING_RESTARTS=20` runs it at full length; docs/reliability.md has the figures.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from machine import Machine, eventually

pytestmark = pytest.mark.e2e
ROUNDS = int(os.environ.get("ROLLING_RESTARTS", "2"))
RATE = 1000
LOAD = Path(__file__).with_name("dns_load.py")
POD = """
apiVersion: v1
kind: Pod
metadata: {name: asks}
spec:
  nodeName: node2
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: localhost/host, command: [sleep, infinity]}
"""


def test_no_query_is_lost_in_rolling_restarts(cluster: Machine) -> None:
    cluster.sampan("apply", "-f", "-", stdin=POD)
    name = "kubernetes.default.svc.cluster.local"
    look = ("exec", "asks", "--", "getent", "ahostsv4", name)
    eventually(lambda: cluster.sampan(*look, check=False).stdout, within_s=30)
    program = LOAD.read_text()
    command = [
        "nsenter", "-t", str(cluster.init), "--net", "--mount", "--pid", "sampan", "exec", "asks",
        "--", sys.executable, "-c", program, "10.96.0.10", name, str(RATE), "/tmp/stop",
    ]  # fmt: skip
    load = subprocess.Popen(
        command,
        env=cluster.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        time.sleep(2)
        for _ in range(ROUNDS):
            kubectl = ("deployment/coredns", "-n", "kube-system")
            cluster.kubectl("rollout", "restart", *kubectl)
            cluster.kubectl("rollout", "status", *kubectl, "--timeout=60s")
            # The old one goes after its lameduck; the next round begins when it is gone.
            eventually(lambda: len(pods(cluster)) == 1, within_s=60)
    finally:
        cluster.sampan("exec", "asks", "--", "touch", "/tmp/stop")
        out, err = load.communicate(timeout=60)
    sys.stderr.write(out)
    told = json.loads(out or "{}")
    assert told, err
    assert told["sent"] > ROUNDS * RATE
    assert told["rate"] > RATE * 0.9
    assert (told["lost"], told["wrong"]) == (0, 0), told
    # Answers that were under way when their flow was moved.
    assert len(told["asked_again"]) <= 4 * ROUNDS, told


def pods(cluster: Machine) -> list[str]:
    words = ("get", "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns", "-o", "name")
    return cluster.kubectl(*words).stdout.split()
