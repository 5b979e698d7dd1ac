"""`sampan proxy`: run the proxy of a node alone, or print what it would program (`render`)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

from sampan.api.meta import Json
from sampan.cli.alone import begin, connection, failed
from sampan.cli.flagset import Given
from sampan.cli.proxy_flags import BESIDE_CONFIG, PROGRAM, flag_set, layer, named

if TYPE_CHECKING:
    from sampan.cluster.parts.proxy import ProxyPart


def run(argv: list[str]) -> int:
    """The exit status: 0 after a signal, 1 when it cannot run."""
    if argv[:1] == ["render"]:
        from sampan.cli.proxy_render import run as render

        return render(argv[1:])
    given = begin(flag_set(), argv)
    return given if isinstance(given, int) else _run(given)


def _run(given: Given) -> int:
    from sampan.proxy.config import BadConfig
    from sampan.std import log

    try:
        config = merged(given)
    except BadConfig as error:
        return failed(PROGRAM, error)
    log.setup("debug" if int(config["logging"]["verbosity"] or 0) >= 4 else "info")
    if ignored := beside(given):
        log.get("proxy").warning("flags do not count beside --config", flags=" ".join(ignored))
    if given["write-config-to"]:
        return _write(given["write-config-to"], config)
    return _serve(given, config)


def merged(given: Given) -> Json:
    """The whole configuration: the file's, or that of the flags. Raises BadConfig."""
    from sampan.proxy.config import BadConfig, configuration
    from sampan.proxy.configfile import read
    from sampan.proxy.validation import check

    flags = layer(flag_set(), given)
    path = given["config"]
    if not path:
        config = configuration(flags, _pages(given, flags))
        check(config)
        return config
    over = Given(given.values, given.named & BESIDE_CONFIG)
    over.ignored = [name for name in given.ignored if name in BESIDE_CONFIG]
    try:
        with open(path, "rb") as file:
            config = configuration(read(file.read()))
        config = configuration(config, layer(flag_set(), over))
        check(config)
    except (OSError, BadConfig) as error:
        raise BadConfig(f"--config {path}: {error}") from error
    return config


def _pages(given: Given, flags: Json) -> Json:
    """Where the pages are: with the port of the old flags where the address has none, and nowhere
    if that is 0.
    """
    from sampan.proxy.configfile import PORTS, with_port

    found = {}
    for page, field in (("healthz", "healthzBindAddress"), ("metrics", "metricsBindAddress")):
        port = given[f"{page}-port"]
        if not port:
            found[field] = ""
        elif field in flags:
            found[field] = with_port(flags[field], port if port > 0 else PORTS[field])
    return found


def beside(given: Given) -> list[str]:
    """Flags that were given in vain, because a file says all."""
    if not given["config"]:
        return []
    return [f"--{name}" for name in sorted(named(given) - BESIDE_CONFIG)]


def _write(path: str, config: Json) -> int:
    import yaml

    with open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump(config, file)
    return 0


def _serve(given: Given, config: Json) -> int:
    from sampan.client.kubeconfig import BadKubeconfig
    from sampan.cluster.parts import proxy as part
    from sampan.cluster.parts.proxy_kernel import real_kernel
    from sampan.linux.base.nft import NftError

    try:
        kernel = real_kernel(config, given["ebpf-cgroup"], lasting=True)
        if given["cleanup"]:
            left = asyncio.run(part.clean(kernel))
            return failed(PROGRAM, "; ".join(left)) if left else 0
        settings = part.ProxySettings(part.node_name(config), config)
        way = connection(config["clientConnection"]["kubeconfig"], given["master"])
        component = part.build(way.client("sampan-proxy"), settings, kernel)
        if given["init-only"]:
            return 0
        _protect(int(config["oomScoreAdj"] or 0))
        asyncio.run(_until_signal(component, settings.node_name, given["config"]))
    except (ConfigChanged, BadKubeconfig, part.CannotRun, NftError) as error:
        return failed(PROGRAM, error)
    except PermissionError as error:
        return failed(PROGRAM, f"{error.strerror}: the proxy needs root, or CAP_NET_ADMIN")
    return 0


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
