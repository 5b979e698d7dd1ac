from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
import yaml

from sampan.client import kubeconfig
from sampan.client.kubeconfig import BadKubeconfig, Connection

EXISTING = """
apiVersion: v1
kind: Config
clusters:
- {name: work, cluster: {server: "https://work:6443", insecure-skip-tls-verify: true}}
contexts:
- {name: work, context: {cluster: work, user: me, namespace: team}}
users:
- {name: me, user: {token: abc}}
current-context: work
extensions:
- {name: note, extension: {last-update: 2026-01-02T03:04:05Z}}
"""


def test_a_context_gives_server_user_and_namespace(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(EXISTING)
    assert kubeconfig.load(tmp_path / "config") == Connection(
        "https://work:6443", insecure=True, token="abc", namespace="team"
    )


def test_certificates_come_as_data_or_from_files_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"CA")
    config = {
        "clusters": [
            {"name": "c", "cluster": {"server": "https://s", "certificate-authority": "ca.pem"}}
        ],
        "users": [
            {
                "name": "u",
                "user": {
                    "client-certificate-data": base64.b64encode(b"CERT").decode(),
                    "client-key-data": base64.b64encode(b"KEY").decode(),
                },
            }
        ],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    loaded = kubeconfig.load(tmp_path / "config", "x")
    assert (loaded.ca, loaded.cert, loaded.key) == (b"CA", b"CERT", b"KEY")


def test_a_token_file_wins_and_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\n")
    now = [0.0]
    token = kubeconfig.FileToken(str(tmp_path / "token"), lambda: now[0])
    assert token() == "one"
    (tmp_path / "token").write_text("two\n")
    assert token() == "one"
    now[0] = 61
    assert token() == "two"
    (tmp_path / "token").unlink()
    now[0] = 122
    assert token() == "two"


def test_merging_keeps_what_is_there_and_makes_the_new_one_current(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(EXISTING)
    stanza = kubeconfig.stanza("sampan-a", Connection("https://127.0.0.1:6443", ca=b"CA"))
    kubeconfig.merge(path, stanza)
    kubeconfig.merge(path, stanza)
    merged = yaml.load(path.read_text(), yaml.BaseLoader)
    assert [entry["name"] for entry in merged["clusters"]] == ["work", "sampan-a"]
    assert merged["current-context"] == "sampan-a"
    assert merged["extensions"][0]["extension"]["last-update"] == "2026-01-02T03:04:05Z"
    assert kubeconfig.load(path, "work").insecure is True
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["config"]


def test_removing_takes_only_its_own_and_says_where(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(EXISTING)
    kubeconfig.merge(path, kubeconfig.stanza("sampan-a", Connection("https://x")))
    assert kubeconfig.remove([path, tmp_path / "absent"], "sampan-a") == [path]
    assert kubeconfig.remove([path], "sampan-a") == []
    left = yaml.safe_load(path.read_text())
    assert left["current-context"] == ""
    assert [entry["name"] for entry in left["users"]] == ["me"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text(EXISTING)
    (tmp_path / "link").symlink_to("real")
    kubeconfig.merge(tmp_path / "link", kubeconfig.stanza("s", Connection("https://x")))
    assert (tmp_path / "link").is_symlink()
    assert kubeconfig.load(tmp_path / "real").server == "https://x"


def test_the_file_to_write_is_the_first_that_exists_else_the_last(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    environ = {"KUBECONFIG": f"{one}{os.pathsep}{two}"}
    assert kubeconfig.path_to_write("", environ) == two
    two.write_text("")
    one.write_text("")
    assert kubeconfig.path_to_write("", environ) == one
    assert kubeconfig.path_to_write("/x", environ) == Path("/x")
    assert kubeconfig.path_to_write("", {"HOME": "/home/me"}) == Path("/home/me/.kube/config")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{}", "no current-context"),
        ("[1, 2]", "no mapping"),
        ("{", "not a kubeconfig"),
        ("current-context: x", "no context named 'x'"),
        (EXISTING.replace("token: abc", "exec: {command: aws}"), "'exec', which is not supported"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(BadKubeconfig, match=why):
        kubeconfig.load(tmp_path / "config")


def test_in_a_pod_the_service_account_is_used(tmp_path: Path) -> None:
    for name, text in (("ca.crt", "CA"), ("namespace", "team"), ("token", "t1")):
        (tmp_path / name).write_text(text)
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    connection = kubeconfig.in_cluster(environ, tmp_path)
    assert (connection.server, connection.namespace) == ("https://[fd00::1]:443", "team")
    bearer = connection.bearer()
    assert callable(bearer)
    assert bearer() == "t1"
    with pytest.raises(BadKubeconfig, match="not in a pod"):
        kubeconfig.in_cluster({})
