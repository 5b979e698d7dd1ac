"""`sampan proxy`: run the proxy of a node alone, or print what it would program (`render`)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING

from sampan import __version__
from sampan.api.meta import Json
from sampan.cli.proxy_flags import BadFlag, help_text, layer, parse

if TYPE_CHECKING:
    from sampan.client.kubeconfig import Connection
    from sampan.cluster.parts.proxy import ProxyPart


def run(argv: list[str]) -> int:
    """The exit status: 0 after a signal, 1 when it cannot run, 2 for bad usage."""
    if argv[:1] == ["render"]:
        from sampan.cli.proxy_render import run as render

        return render(argv[1:])
    try:
        flags, words = parse(argv)
        if words:
            raise BadFlag(f"unexpected word {words[0]!r}; see 'sampan proxy --help'")
        if "help" in flags:
            print(help_text(), end="")
            return 0
        if "version" in flags:
            print(f"sampan {__version__}, for Kubernetes v1.36")
            return 0
        return _run(flags)
    except BadFlag as error:
        return _fail(error, 2)


def _run(flags: dict[str, str]) -> int:
    from sampan.proxy.config import BadConfig, configuration
    from sampan.std import log

    try:
        config = configuration(_file(flags.get("config", "")), layer(flags))
    except BadConfig as error:
        return _fail(error, 2)
    log.setup("debug" if int(config["logging"]["verbosity"] or 0) >= 4 else "info")
    if "write-config-to" in flags:
        return _write(flags["write-config-to"], config)
    return _serve(flags, config)


def _file(path: str) -> Json:
    from sampan.proxy.config import KIND, BadConfig

    if not path:
        return {}
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            given = yaml.safe_load(file)
    except (OSError, yaml.YAMLError) as error:
        raise BadConfig(f"--config {path}: {error}") from error
    if not isinstance(given, dict) or given.get("kind", KIND) != KIND:
        raise BadConfig(f"--config {path}: no {KIND}")
    return given


def _write(path: str, config: Json) -> int:
    import yaml

    with open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump(config, file)
    return 0


def _serve(flags: dict[str, str], config: Json) -> int:
    from sampan.client.kubeconfig import BadKubeconfig
    from sampan.cluster.parts import proxy as part
    from sampan.cluster.parts.proxy_kernel import real_kernel
    from sampan.linux.base.nft import NftError

    try:
        kernel = real_kernel(config, flags.get("ebpf-cgroup", ""))
        if flags.get("cleanup") == "true":
            asyncio.run(part.clean(kernel))
            return 0
        settings = part.ProxySettings(part.node_name(config), config)
        client = _connection(flags, config).client("sampan-proxy")
        component = part.build(client, settings, kernel)
        if flags.get("init-only") == "true":
            return 0
        _protect(int(config["oomScoreAdj"] or 0))
        asyncio.run(_until_signal(component, settings.node_name))
    except (BadKubeconfig, part.CannotRun, NftError) as error:
        return _fail(error, 1)
    except PermissionError as error:
        return _fail(f"{error.strerror}: the proxy needs root, or CAP_NET_ADMIN", 1)
    return 0


def _connection(flags: dict[str, str], config: Json) -> Connection:
    from dataclasses import replace

    from sampan.client import kubeconfig

    path = config["clientConnection"]["kubeconfig"]
    found = kubeconfig.load(path) if path else kubeconfig.in_cluster()
    return replace(found, server=flags["master"]) if flags.get("master") else found


async def _until_signal(component: ProxyPart, node: str) -> None:
    from sampan.std import log

    task = asyncio.ensure_future(
        component.run(lambda: log.get("proxy").info("in force", node=node))
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _protect(score: int) -> None:
    """Ask the kernel to spare this process when memory runs out; not a must."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(score))


def _fail(why: object, code: int) -> int:
    print(f"sampan proxy: {why}", file=sys.stderr)
    return code
