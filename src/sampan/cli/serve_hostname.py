"""`sampan serve-hostname`: answers every HTTP request with the host's name, as the articles' image.

It imports next to nothing, so that a pod of it is ready within a blink.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys

MOST = 1024
TERMINATED = 143


def run(argv: list[str]) -> int:
    port = _port(argv)
    if port is None:
        print("usage: sampan serve-hostname [--port 9376]", file=sys.stderr)
        return 0 if {"-h", "--help"} & set(argv) else 2
    # As the first process of a pod it is told of SIGTERM only if it asks for it.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(TERMINATED))
    try:
        listening = socket.create_server(("", port), backlog=MOST)
    except OSError as error:
        print(f"sampan: cannot listen on port {port}: {error.strerror}", file=sys.stderr)
        return 1
    serve(listening, socket.gethostname())
    return 0


def _port(argv: list[str]) -> int | None:
    words = [part for word in argv for part in word.split("=", 1)]
    if not words:
        return 9376
    if len(words) == 2 and words[0] == "--port" and words[1].isdigit():
        return int(words[1])
    return None


def serve(listening: socket.socket, name: str) -> None:
    """For ever; a slow client keeps nobody waiting."""
    body = f"{name}\n".encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    answer = (head + "Connection: close\r\n\r\n").encode() + body
    poll = select.epoll()
    poll.register(listening.fileno(), select.EPOLLIN)
    clients: dict[int, tuple[socket.socket, bytearray]] = {}
    while True:
        for fd, _ in poll.poll():
            if fd == listening.fileno():
                client, _address = listening.accept()
                clients[client.fileno()] = (client, bytearray())
                poll.register(client.fileno(), select.EPOLLIN)
                continue
            client, received = clients[fd]
            if _answered(client, received, answer):
                poll.unregister(fd)
                del clients[fd]
                client.close()


def _answered(client: socket.socket, received: bytearray, answer: bytes) -> bool:
    """Whether this client is done with: it has its answer, or went away."""
    try:
        data = client.recv(65536)
        received += data
        if data and b"\r\n\r\n" not in received and len(received) < 65536:
            return False
        client.sendall(answer)
    except OSError:
        return True
    return True
