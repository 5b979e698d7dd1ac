"""`sampan proxy`: run the proxy of a node alone, or print what it would program (`render`)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING

from sampan import __version__
from sampan.api.meta import Json
from sampan.cli.proxy_flags import BY_NAME, BadFlag, help_text, layer, parse

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
    from sampan.proxy.config import BadConfig
    from sampan.std import log

    try:
        config = merged(flags)
    except BadConfig as error:
        return _fail(error, 2)
    log.setup("debug" if int(config["logging"]["verbosity"] or 0) >= 4 else "info")
    ignored = _ignored(flags)
    if ignored:
        log.get("proxy").warning("flags do not count beside --config", flags=" ".join(ignored))
    if "write-config-to" in flags:
        return _write(flags["write-config-to"], config)
    return _serve(flags, config)


BESIDE_CONFIG = ("hostname-override", "v", "logging-format", "log-flush-frequency")
"""Flags that lie over a file; all others that are fields of it count only without one."""


def merged(flags: dict[str, str]) -> Json:
    """The whole configuration: the file's, or that of the flags. Raises BadConfig."""
    from sampan.proxy.config import BadConfig, configuration
    from sampan.proxy.configfile import PORTS, read, with_port
    from sampan.proxy.validation import check

    path = flags.get("config", "")
    if not path:
        given = layer(flags)
        pages = {
            field: with_port(given[field], port) for field, port in PORTS.items() if field in given
        }
        config = configuration(given, pages)
        check(config)
        return config
    try:
        with open(path, "rb") as file:
            config = configuration(read(file.read()))
        over = layer({name: text for name, text in flags.items() if name in BESIDE_CONFIG})
        config = configuration(config, over)
        check(config)
    except (OSError, BadConfig) as error:
        raise BadConfig(f"--config {path}: {error}") from error
    return config


def _ignored(flags: dict[str, str]) -> list[str]:
    """Flags that were given in vain."""
    if not flags.get("config"):
        return []
    return [f"--{name}" for name in flags if BY_NAME[name].path and name not in BESIDE_CONFIG]


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
        kernel = real_kernel(config, flags.get("ebpf-cgroup", ""), lasting=True)
        if flags.get("cleanup") == "true":
            failed = asyncio.run(part.clean(kernel))
            return _fail("; ".join(failed), 1) if failed else 0
        settings = part.ProxySettings(part.node_name(config), config)
        client = _connection(flags, config).client("sampan-proxy")
        component = part.build(client, settings, kernel)
        if flags.get("init-only") == "true":
            return 0
        _protect(int(config["oomScoreAdj"] or 0))
        asyncio.run(_until_signal(component, settings.node_name, flags.get("config", "")))
    except ConfigChanged as error:
        return _fail(error, 1)
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


class ConfigChanged(Exception):
    """The file of --config is another one: whoever started this process starts it again."""


LOOK_S = 2.0
"""How often the file of --config is read."""


async def _until_signal(component: ProxyPart, node: str, config: str) -> None:
    from sampan.std import log

    def started() -> None:
        log.get("proxy").info("in force", node=node)

    task = asyncio.ensure_future(component.run(started))
    watch = asyncio.ensure_future(until_changed(config))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
    changed = watch.done()
    for one in (task, watch):
        one.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    if changed:
        watch.result()


async def until_changed(path: str, every_s: float = LOOK_S) -> None:
    """Raises ConfigChanged when a file has other content, or is gone; as upstream, which ends then
    and is started again.
    """
    first = _content(path) if path else b""
    while True:
        await asyncio.sleep(every_s)
        if path and _content(path) != first:
            raise ConfigChanged(f"{path} was changed; to be started again")


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _protect(score: int) -> None:
    """Ask the kernel to spare this process when memory runs out; not a must."""
    from sampan.std import log

    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(score))
    except OSError as error:
        log.get("proxy").warning("oomScoreAdj stays as it is", wanted=score, why=error.strerror)


def _fail(why: object, code: int) -> int:
    print(f"sampan proxy: {why}", file=sys.stderr)
    return code
