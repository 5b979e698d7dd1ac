"""`sampan exec POD -- COMMAND`: run a command in a pod, over WebSocket (v5.channel.k8s.io)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from sampan.api import errors
from sampan.api.kinds import PODS
from sampan.api.meta import Json
from sampan.cli.connect import Session, add_flags, session
from sampan.cli.outcome import Exit, failed, guarded
from sampan.client.http import tls_context
from sampan.client.kubeconfig import Connection
from sampan.client.transport import Unreachable
from sampan.std import websocket as ws

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
PROTOCOL = "v5.channel.k8s.io"
END_OF_STDIN = bytes((0xFF, STDIN))


def run(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("sampan exec", description=__doc__)
    parser.add_argument("pod", help="pod, or pod/NAME")
    parser.add_argument("-c", "--container", default="")
    parser.add_argument("-i", "--stdin", action="store_true", help="pass standard input on")
    parser.add_argument("-t", "--tty", action="store_true", help="give the command a terminal")
    add_flags(parser)
    before, _, command = _split(argv)
    args = parser.parse_args(before)
    if not command:
        parser.error("a command is needed: sampan exec POD -- COMMAND [ARG ...]")
    return guarded(lambda: asyncio.run(_exec(args, command)))


def _split(argv: list[str]) -> tuple[list[str], str, list[str]]:
    at = argv.index("--") if "--" in argv else len(argv)
    flags = list(argv[:at])
    # kubectl's short flags are often written as one word.
    flags = [
        part for word in flags for part in (["-i", "-t"] if word in ("-it", "-ti") else [word])
    ]
    return flags, "--", argv[at + 1 :]


async def _exec(args: argparse.Namespace, command: list[str]) -> int:
    async with session(args) as talk:
        path = _path(talk, args, command)
        credentials = talk.connection.bearer()
        token = credentials() if callable(credentials) else credentials
        talking = await connect(talk.connection, path, token)
    terminal = _raw_terminal() if args.tty else contextlib.nullcontext()
    with terminal:
        status = await talking.run(stdin=args.stdin, tty=args.tty)
    return exit_code(status)


def _path(talk: Session, args: argparse.Namespace, command: list[str]) -> str:
    asked = [("command", word) for word in command]
    asked += [("container", args.container)] if args.container else []
    asked += [("stdout", "true"), ("tty" if args.tty else "stderr", "true")]
    asked += [("stdin", "true")] if args.stdin else []
    return PODS.path(talk.namespace, args.pod.rpartition("/")[2], "exec") + "?" + urlencode(asked)


def exit_code(status: Json) -> int:
    """The command's own, as the error channel tells it."""
    if status.get("status") == "Success":
        return Exit.OK
    for cause in (status.get("details") or {}).get("causes", ()):
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    return failed(Exit.FAILED, status.get("message", "the connection ended early"))


async def connect(connection: Connection, path: str, token: str) -> Talk:
    """The handshake. Raises Unreachable, or the ApiError that the server answered with."""
    parts = urlsplit(connection.server)
    context = tls_context(
        connection.ca, connection.cert, connection.key, insecure=connection.insecure
    )
    tls = context if parts.scheme == "https" else None
    try:
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port or 443, ssl=tls, limit=1 << 20
        )
    except OSError as error:
        raise Unreachable(f"{connection.server}: {error}") from None
    lines = [
        f"GET {parts.path}{path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: Upgrade",
        "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {ws.new_key()}",
        f"Sec-WebSocket-Protocol: {PROTOCOL}",
    ]  # fmt: skip
    if token:
        lines.append(f"Authorization: Bearer {token}")
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    code = int(head[0].split()[1])
    if code != 101:
        await _refused(code, head, reader)
    return Talk(reader, writer)


async def _refused(code: int, head: list[str], reader: asyncio.StreamReader) -> None:
    sizes = [line.partition(":")[2] for line in head if line.lower().startswith("content-length:")]
    body = await reader.readexactly(int(sizes[0])) if sizes else b"{}"
    try:
        status = json.loads(body)
    except ValueError:
        status = {"message": body.decode(errors="replace")}
    raise errors.from_status(status, code)


@dataclass(slots=True)
class Talk:
    """The open connection: bytes to channels and back."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    decoder: ws.Decoder = field(default_factory=lambda: ws.Decoder(limit=1 << 24))

    async def run(self, *, stdin: bool, tty: bool) -> Json:
        """Until the server tells how it went."""
        feeding = asyncio.create_task(self._feed()) if stdin else None
        if tty and sys.stdout.isatty():
            size = os.get_terminal_size()
            await self._send(
                RESIZE, json.dumps({"Width": size.columns, "Height": size.lines}).encode()
            )
        try:
            return await self._listen()
        finally:
            if feeding is not None:
                feeding.cancel()
            self.writer.close()

    async def _listen(self) -> Json:
        while data := await self.reader.read(65536):
            for frame in self.decoder.feed(data):
                if frame.opcode == ws.PING:
                    self.writer.write(ws.encode(ws.Frame(ws.PONG, frame.payload), mask=True))
                elif frame.opcode == ws.CLOSE:
                    return {}
                elif frame.payload[:1] == bytes((ERROR,)):
                    status: Json = json.loads(frame.payload[1:])
                    return status
                elif len(frame.payload) > 1:
                    out = sys.stderr if frame.payload[0] == STDERR else sys.stdout
                    out.buffer.write(frame.payload[1:])
                    out.flush()
        return {}

    async def _feed(self) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while data := await reader.read(65536):
            await self._send(STDIN, data)
        self.writer.write(ws.encode(ws.Frame(ws.BINARY, END_OF_STDIN), mask=True))
        await self.writer.drain()

    async def _send(self, channel: int, data: bytes) -> None:
        self.writer.write(ws.encode(ws.Frame(ws.BINARY, bytes((channel,)) + data), mask=True))
        await self.writer.drain()


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Keys go to the command as they are; the terminal is put back whatever happens."""
    import termios
    import tty

    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
