"""The launcher's event loop: requests in, children out, exits to disk. One thread, no waiting.

A request is one JSON line on a connection of its own, descriptors beside it; the answer is one
line. The socket may be driven by the node's kubelet only (mode 0600 in a 0700 directory).
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import selectors
import signal
import socket
import traceback
from collections.abc import Callable
from typing import Any

from sampan.linux.real import child
from sampan.linux.real.births import MAX_FDS, MSG_CMSG_CLOEXEC, Birth, Outcome, Refused
from sampan.linux.real.cgroups import KernelCgroups
from sampan.linux.real.livecontainers import LiveContainers
from sampan.linux.real.livesandboxes import LiveSandboxes
from sampan.linux.real.records import Records

Json = dict[str, Any]
TICK_S = 0.003


class Client:
    """One connection: a request that comes in pieces, then its answer."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.text = b""
        self.fds: list[int] = []
        self.gone: Callable[[], None] = lambda: None
        """What to do when the client hangs up before it is answered."""
        self.done: Callable[[], None] = lambda: None

    def send(self, **fields: Any) -> None:
        """A client that has gone is fine."""
        with contextlib.suppress(OSError):
            self.socket.sendall(json.dumps(fields).encode() + b"\n")

    def answer(self, **fields: Any) -> None:
        """The one answer, then the end."""
        self.send(**fields)
        self.done()


class Launcher:
    """Ties the selector to sandboxes and containers."""

    def __init__(self, records: Records, cgroups: KernelCgroups, doorbell: socket.socket) -> None:
        self.selector = selectors.DefaultSelector()
        self.records = records
        self.doorbell = doorbell
        self.watchers: list[Client] = []
        self.births: dict[int, Birth] = {}
        self.sessions: dict[int, Client] = {}
        self.sandboxes = LiveSandboxes(records, cgroups)
        self.containers = LiveContainers(records, cgroups, self.selector, self._tell_exit)
        self.operations: dict[str, Callable[[Client, Json], None]] = {
            "sandbox": self._sandbox,
            "unsandbox": self._unsandbox,
            "start": self._start,
            "exec": self._exec,
            "attach": self._attach,
            "signal": self._signal,
            "resize": self._resize,
            "remove": self._remove,
            "dial": self._dial,
            "watch": self._watch,
        }

    def adopt(self) -> None:
        self.containers.adopt()

    def serve(self) -> None:
        """For ever."""
        read_end, write_end = os.pipe()
        for fd in (read_end, write_end):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector.register(read_end, selectors.EVENT_READ, functools.partial(_empty, read_end))
        self.selector.register(self.doorbell, selectors.EVENT_READ, self._accept)
        self._reap()
        while True:
            busy = self.sandboxes.burials or self.containers.is_busy()
            for key, _ in self.selector.select(TICK_S if busy else None):
                if self.selector.get_map().get(key.fd) is key:  # an earlier one may have ended it
                    self._guarded(key.data)
            self._guarded(self._reap)
            if self.sandboxes.burials:
                self.sandboxes.dig()
            if self.containers.is_busy():
                self.containers.step()

    def _guarded(self, work: Callable[[], None]) -> None:
        """One request or container that goes wrong must not take the others' parent away."""
        try:
            work()
        except Exception:  # noqa: BLE001 - see above
            traceback.print_exc()

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            sock, _ = self.doorbell.accept()
            client = Client(sock)
            client.done = functools.partial(self._hang_up, client)
            self.selector.register(
                sock, selectors.EVENT_READ, functools.partial(self._hear, client)
            )

    def _hear(self, client: Client) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(client.socket, 1 << 16, MAX_FDS, MSG_CMSG_CLOEXEC)
        except OSError:
            data, fds = b"", []
        client.fds += fds
        if not data:
            client.gone()
            self._hang_up(client)
            return
        client.text += data
        if client.text.endswith(b"\n"):
            try:
                request = json.loads(client.text)
            except ValueError:
                request = {}
            self._do(client, request)

    def _do(self, client: Client, request: Json) -> None:
        try:
            self.operations[request["op"]](client, request)
        except Refused as refusal:
            client.answer(error=str(refusal), start=refusal.start)
        except (KeyError, TypeError) as error:
            client.answer(error=f"no such request: {error!r}", start=False)
        except OSError as error:
            client.answer(error=f"{error.strerror}: {error.filename or request}", start=False)

    def _hang_up(self, client: Client) -> None:
        if client in self.watchers:
            self.watchers.remove(client)
        if client.socket.fileno() >= 0:
            self.selector.unregister(client.socket)
            client.socket.close()
        for fd in client.fds:
            os.close(fd)
        client.fds = []

    def _expect(self, birth: Birth) -> None:
        self.births[birth.pid] = birth
        self.selector.register(
            birth.status, selectors.EVENT_READ, functools.partial(self._hear_birth, birth)
        )

    def _hear_birth(self, birth: Birth) -> None:
        if birth.hear():
            self._born(birth)

    def _born(self, birth: Birth) -> None:
        del self.births[birth.pid]
        self.selector.unregister(birth.status)
        birth.status.close()
        birth.done(birth.outcome())

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            birth = self.births.get(pid)
            if birth is not None:
                birth.hear()  # the last words come before the end
                self._born(birth)
            session = self.sessions.pop(pid, None)
            if session is not None:
                code = os.waitstatus_to_exitcode(status)
                session.answer(exit=code if code >= 0 else 128 - code)
            else:
                self.containers.ended(pid, status)

    def _tell_exit(self, container: str) -> None:
        for watcher in self.watchers:
            watcher.send(exited=container)

    def _sandbox(self, client: Client, request: Json) -> None:
        def answer(outcome: Outcome) -> None:
            client.answer(error=outcome.error, start=outcome.start)

        birth = self.sandboxes.begin(request["id"], answer)
        if birth is None:
            client.answer()
        else:
            self._expect(birth)

    def _unsandbox(self, client: Client, request: Json) -> None:
        self.sandboxes.bury(request["id"], lambda error: client.answer(error=error))

    def _start(self, client: Client, request: Json) -> None:
        def answer(outcome: Outcome) -> None:
            client.answer(error=outcome.error, start=outcome.start)

        spec = self.records.container(request["id"])
        sandbox = self.records.sandbox(spec.sandbox) if spec is not None else None
        if spec is None or sandbox is None:
            raise Refused(f"container {request['id']} has no sandbox")
        place = self.sandboxes.place(sandbox)
        if spec.pid_of:
            pid_namespace = self.containers.pid_namespace(spec.pid_of)
        else:
            pid_namespace = "" if spec.host_pid else self.sandboxes.pid_namespace(sandbox)
        self._expect(self.containers.begin(spec.id, place, pid_namespace, answer))

    def _exec(self, client: Client, request: Json) -> None:
        def begun(outcome: Outcome) -> None:
            if outcome.error:
                self.sessions.pop(birth.pid, None)
                client.answer(error=outcome.error, start=outcome.start)

        stdio = _placed(client.fds, request["fds"])
        what = child.Session(tuple(request["argv"]), -1, stdio[:3], stdio[3])
        birth = self.containers.session(request["id"], what, begun)
        self.sessions[birth.pid] = client
        client.gone = functools.partial(self._kill_session, birth.pid)
        self._close_fds(client)
        self._expect(birth)

    def _kill_session(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _attach(self, client: Client, request: Json) -> None:
        stdin, stdout, stderr, _ = _placed(client.fds, request["fds"])
        name = request["id"]
        found = self.containers.attach(name, (stdin, stdout, stderr), client.answer)
        client.fds = []  # they are the attachment's now
        client.gone = functools.partial(self.containers.detach, name, found)

    def _signal(self, client: Client, request: Json) -> None:
        self.containers.signal(request["id"], request["number"], request["everyone"])
        client.answer()

    def _resize(self, client: Client, request: Json) -> None:
        self.containers.resize(request["id"], request["columns"], request["rows"])
        client.answer()

    def _remove(self, client: Client, request: Json) -> None:
        self.containers.remove(request["id"])
        client.answer()

    def _dial(self, client: Client, request: Json) -> None:
        with self.sandboxes.dial(request["id"], request["family"]) as sock:
            socket.send_fds(client.socket, [b"{}\n"], [sock.fileno()])
        client.done()

    def _watch(self, client: Client, request: Json) -> None:
        self.watchers.append(client)
        for name in list(self.records.names("containers")):
            if self.records.exit(name) is not None:
                client.send(exited=name)

    def _close_fds(self, client: Client) -> None:
        for fd in client.fds:
            os.close(fd)
        client.fds = []


def _placed(fds: list[int], which: list[bool]) -> tuple[int, int, int, int]:
    """The descriptors that came, each in its place: stdin, stdout, stderr, terminal."""
    coming = iter(fds)
    stdin, stdout, stderr, terminal = (next(coming) if there else -1 for there in which)
    return stdin, stdout, stderr, terminal


def _empty(fd: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(fd, 4096):
            pass


def listener(run_dir: str) -> socket.socket:
    """The doorbell; the name goes through /proc so that long directories do not matter."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{run_dir}/launcher.sock")
    fd = os.open(run_dir, os.O_PATH | os.O_CLOEXEC)
    try:
        sock.bind(f"/proc/self/fd/{fd}/launcher.sock")
    finally:
        os.close(fd)
    os.chmod(f"{run_dir}/launcher.sock", 0o600)
    sock.listen(512)
    return sock
