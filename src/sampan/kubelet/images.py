"""Images: what a reference means on this node, and what is said when it means nothing.

`localhost/host` is the node's own file system. Every other reference must have been loaded into the
node's image store; a pull from a registry is not tried, and the message says what to do instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from sampan.kubelet.settings import HostImage

DEFAULT_DOMAIN, DEFAULT_TAG = "docker.io", "latest"
_REFERENCE = re.compile(
    r"(?P<name>(?:[a-zA-Z0-9.\-]+(?::[0-9]+)?/|\[[0-9a-fA-F:]+\](?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:[._\-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._\-]+[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[\w][\w.\-]{0,127}))?(?:@(?P<digest>[a-z0-9]+:[0-9a-f]{32,}))?"
)


class BadReference(Exception):
    """The text is no image reference."""


@dataclass(frozen=True, slots=True)
class Config:
    """What an image says about how it is run."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """One that can be run; `layers` as the runtime wants them, the topmost first."""

    id: str
    layers: tuple[str, ...] = ("/",)
    host: bool = False
    config: Config = Config()
    names: tuple[str, ...] = ()
    size: int = 0
    loaded: float = 0.0
    """When it came, in seconds since the epoch."""


class ImageStore(Protocol):
    """What is loaded on the node."""

    def find(self, reference: str) -> Image | None:
        """By normalized reference or digest."""
        ...

    def all(self) -> Iterable[Image]: ...


class NoImages:
    """An empty store."""

    def find(self, reference: str) -> Image | None:
        return None

    def all(self) -> Iterable[Image]:
        return ()


def normalized(reference: str) -> str:
    """`nginx` is `docker.io/library/nginx:latest`. Raises BadReference."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        text = f'couldn\'t parse image name "{reference}": invalid reference format'
        raise BadReference(f'Failed to apply default image tag "{reference}": {text}')
    name = match["name"]
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"{DEFAULT_DOMAIN}/library/{name}"
    elif not ("." in first or ":" in first or first == "localhost"):
        name = f"{DEFAULT_DOMAIN}/{name}"
    if match["digest"]:
        return f"{name}@{match['digest']}"
    return f"{name}:{match['tag'] or DEFAULT_TAG}"


@dataclass(frozen=True, slots=True)
class Missing:
    """The image is not to be had now: reason of the waiting container, and its message."""

    reason: str
    message: str


@dataclass(slots=True)
class Images:
    """References to images."""

    host: HostImage
    store: ImageStore = field(default_factory=NoImages)

    def is_host(self, reference: str) -> bool:
        """Any tag of it will do: there is only one node to show."""
        name = reference.rpartition(":")[0] if ":" in reference.rpartition("/")[2] else reference
        return name in self.host.names

    def find(self, reference: str) -> Image | None:
        """Raises BadReference."""
        if self.is_host(reference):
            env = {"PATH": self.host.path, **self.host.env}
            pairs = tuple(f"{key}={value}" for key, value in env.items())
            return Image("host", host=True, config=Config(env=pairs), names=(reference,))
        return self.store.find(normalized(reference))

    def pull(self, reference: str) -> Image | Missing:
        """As far as this node can: only its own file system is always to be had."""
        found = self.find(reference)
        if found is not None and found.host:
            return found
        name = normalized(reference)
        text = (
            f'failed to pull image "{name}": this node pulls from no registry; '
            f"load it with 'sampan image load FILE.tar' and use imagePullPolicy IfNotPresent"
        )
        return Missing("ErrImagePull", text)
