"""Kubeconfig files: who and where the API server is, read as kubectl does and written as kind does.

Exec and auth-provider plugins are not run; a user that needs one is refused with a clear word.
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.client.http import HttpTransport

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_CHECK_S = 60
"""Projected tokens are rotated on disk; they are read again this often, as client-go does."""
SECTIONS = ("clusters", "contexts", "users")


class BadKubeconfig(Exception):
    """The file cannot be used; the message names file and field."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the server is and who we are there; certificates and keys as PEM."""

    server: str
    ca: bytes = b""
    cert: bytes = b""
    key: bytes = b""
    insecure: bool = False
    server_name: str = ""
    token: str = ""
    token_file: str = ""
    namespace: str = "default"

    def transport(self) -> HttpTransport:
        """Raises BadKubeconfig where the certificates are no certificates."""
        try:
            return HttpTransport(
                self.server,
                ca=self.ca,
                cert=self.cert,
                key=self.key,
                insecure=self.insecure,
                server_name=self.server_name,
            )
        except ValueError as error:
            raise BadKubeconfig(str(error)) from error

    def client(self, user_agent: str = "sampan") -> Client:
        return Client(self.transport(), user_agent=user_agent, token=self.bearer())

    def bearer(self) -> str | Callable[[], str]:
        """The token, or what reads it again from its file when it may have been rotated."""
        return FileToken(self.token_file) if self.token_file else self.token


class FileToken:
    """A token in a file that somebody rotates."""

    def __init__(self, path: str, monotonic: Callable[[], float] | None = None) -> None:
        import time

        self._path = path
        self._monotonic = monotonic or time.monotonic
        self._token = ""
        self._read_at = float("-inf")

    def __call__(self) -> str:
        now = self._monotonic()
        if now - self._read_at >= TOKEN_CHECK_S:
            try:
                self._token = Path(self._path).read_text(encoding="utf-8").strip()
            except OSError as error:
                if not self._token:
                    raise BadKubeconfig(f"cannot read the token: {error}") from error
            self._read_at = now
        return self._token


def load(path: str | Path, context: str = "") -> Connection:
    """The connection of a context (the current one). Raises BadKubeconfig."""
    file = Path(path)
    config = read(file)
    name = context or str(config.get("current-context") or "")
    if not name:
        raise BadKubeconfig(f"{file}: no current-context; name a context")
    chosen = _entry(config, "contexts", name, file).get("context") or {}
    cluster = _entry(config, "clusters", chosen.get("cluster", ""), file).get("cluster") or {}
    user_name = chosen.get("user", "")
    user = (_entry(config, "users", user_name, file).get("user") or {}) if user_name else {}
    for plugin in ("exec", "auth-provider"):
        if user.get(plugin):
            raise BadKubeconfig(
                f"{file}: user {user_name!r} logs in through {plugin!r}, which is not supported; "
                "use a token or a client certificate"
            )
    connection = Connection(
        server=str(cluster.get("server") or "http://localhost:8080"),
        ca=_material(cluster, "certificate-authority", file),
        cert=_material(user, "client-certificate", file),
        key=_material(user, "client-key", file),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        server_name=str(cluster.get("tls-server-name") or ""),
        namespace=str(chosen.get("namespace") or "default"),
    )
    # As client-go: a tokenFile wins over a token.
    if user.get("tokenFile"):
        return replace(connection, token_file=str(_beside(file, str(user["tokenFile"]))))
    return replace(connection, token=str(user.get("token") or ""))


def in_cluster(
    environ: Mapping[str, str] | None = None, directory: Path = SERVICE_ACCOUNT
) -> Connection:
    """The connection of a pod's service account. Raises BadKubeconfig outside a pod."""
    env = os.environ if environ is None else environ
    host, port = env.get("KUBERNETES_SERVICE_HOST"), env.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise BadKubeconfig("not in a pod: KUBERNETES_SERVICE_HOST and _PORT are not set")
    try:
        ca = (directory / "ca.crt").read_bytes()
        namespace = (directory / "namespace").read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadKubeconfig(f"no service account in this pod: {error}") from error
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    token = str(directory / "token")
    return Connection(server, ca=ca, token_file=token, namespace=namespace or "default")


def paths(explicit: str = "", environ: Mapping[str, str] | None = None) -> list[Path]:
    """The files that kubectl would read: the flag, else $KUBECONFIG, else ~/.kube/config."""
    env = os.environ if environ is None else environ
    if explicit:
        return [Path(explicit)]
    listed = [Path(part) for part in env.get("KUBECONFIG", "").split(os.pathsep) if part]
    return list(dict.fromkeys(listed)) or [Path(env.get("HOME", "/")) / ".kube" / "config"]


def path_to_write(explicit: str = "", environ: Mapping[str, str] | None = None) -> Path:
    """Where a new stanza goes, by kind's rule: the first file that exists, else the last."""
    candidates = paths(explicit, environ)
    return next((path for path in candidates if path.exists()), candidates[-1])


def stanza(name: str, connection: Connection) -> Json:
    """A whole kubeconfig with one cluster, user and context of this name, the context current."""
    cluster: Json = {"server": connection.server}
    if connection.ca:
        cluster["certificate-authority-data"] = base64.b64encode(connection.ca).decode()
    user: Json = {}
    if connection.cert:
        user["client-certificate-data"] = base64.b64encode(connection.cert).decode()
        user["client-key-data"] = base64.b64encode(connection.key).decode()
    if connection.token:
        user["token"] = connection.token
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
        "preferences": {},
        "users": [{"name": name, "user": user}],
    }


def merge(path: Path, config: Json) -> None:
    """Put a stanza into a file, replacing entries of its names, and make its context current;
    everything else in the file stays.
    """
    existing = read(path) if path.exists() else {}
    merged: Json = {"apiVersion": "v1", "kind": "Config", "preferences": {}, **existing}
    for section in SECTIONS:
        fresh = {entry["name"]: entry for entry in config[section]}
        kept = [e for e in merged.get(section) or [] if e.get("name") not in fresh]
        merged[section] = [*kept, *fresh.values()]
    merged["current-context"] = config["current-context"]
    write(path, merged)


def remove(files: Sequence[Path], name: str) -> list[Path]:
    """Take the cluster, user and context of this name out of the files; says which changed."""
    changed = []
    for path in files:
        if not path.exists():
            continue
        config = read(path)
        before = [len(config.get(section) or []) for section in SECTIONS]
        for section in SECTIONS:
            config[section] = [e for e in config.get(section) or [] if e.get("name") != name]
        current = config.get("current-context") == name
        if current:
            config["current-context"] = ""
        if current or before != [len(config[section]) for section in SECTIONS]:
            write(path, config)
            changed.append(path)
    return changed


def read(path: Path) -> Json:
    """The file as it is. Raises BadKubeconfig."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        # Only the plain types: a time stamp must stay the text that it is.
        config = yaml.load(text, Loader=yaml.BaseLoader)
    except OSError as error:
        raise BadKubeconfig(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadKubeconfig(f"{path} is not a kubeconfig: {error}") from error
    if config is None or config == "":
        return {}
    if not isinstance(config, dict):
        raise BadKubeconfig(f"{path} is not a kubeconfig: the top is no mapping")
    return _with_booleans(config)


def write(path: Path, config: Json) -> None:
    """Replace the file at once, readable by its owner alone; an existing owner is kept."""
    import yaml

    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(config, default_flow_style=False, sort_keys=False, width=1 << 20)
    descriptor, temporary = tempfile.mkstemp(prefix=".kubeconfig-", dir=target.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        if target.exists() and os.geteuid() == 0:
            owner = target.stat()
            os.chown(temporary, owner.st_uid, owner.st_gid)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _with_booleans(config: Json) -> Json:
    """The only field of the format that is not text."""
    for entry in config.get("clusters") or []:
        cluster = entry.get("cluster")
        if isinstance(cluster, dict) and "insecure-skip-tls-verify" in cluster:
            value = str(cluster["insecure-skip-tls-verify"]).lower()
            cluster["insecure-skip-tls-verify"] = value in ("true", "yes", "on")
    for section in (*SECTIONS, "preferences", "extensions"):
        if config.get(section) in ("", "null", "~"):
            del config[section]
    return config


def _entry(config: Json, section: str, name: str, file: Path) -> Json:
    for entry in config.get(section) or []:
        if entry.get("name") == name:
            found: Json = entry
            return found
    raise BadKubeconfig(f"{file}: no {section[:-1]} named {name!r}")


def _material(holder: Mapping[str, Any], field: str, file: Path) -> bytes:
    """The bytes of `<field>-data`, or of the file that `<field>` names beside the kubeconfig."""
    data = holder.get(f"{field}-data")
    if data:
        try:
            return base64.b64decode(str(data), validate=False)
        except binascii.Error as error:
            raise BadKubeconfig(f"{file}: {field}-data is not base64: {error}") from error
    named = holder.get(field)
    if not named:
        return b""
    try:
        return _beside(file, str(named)).read_bytes()
    except OSError as error:
        raise BadKubeconfig(f"{file}: cannot read {field}: {error}") from error


def _beside(file: Path, named: str) -> Path:
    return Path(os.path.realpath(file)).parent / named if not os.path.isabs(named) else Path(named)
