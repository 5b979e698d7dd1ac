"""`sampan serve-hostname` as a client meets it."""

from __future__ import annotations

import socket
import threading

import pytest

from sampan.cli.serve_hostname import Server


@pytest.fixture
def port() -> int:
    server = Server(b"pod-a\n", 0)
    # Two sockets on a free port each: the datagram one is asked for separately.
    threading.Thread(target=server.serve, daemon=True).start()
    return int(server.tcp.getsockname()[1])


def talk(port: int, data: bytes, *, size: int = 65536) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        if data:
            sock.sendall(data)
        return sock.recv(size)


def test_http_gets_an_answer_with_a_length(port: int) -> None:
    answer = talk(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\nContent-Length: 6\r\n\r\npod-a\n")


def test_a_connection_is_kept_for_more_questions(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        for _ in range(3):
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert sock.recv(65536).endswith(b"pod-a\n")


def test_http_1_0_is_closed(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        data = b""
        while piece := sock.recv(65536):
            data += piece
    assert data.endswith(b"pod-a\n")


def test_a_peer_that_speaks_no_http_gets_the_bare_name(port: int) -> None:
    assert talk(port, b"hello\n") == b"pod-a\n"
    assert talk(port, b"") == b"pod-a\n"


def test_datagrams_are_answered() -> None:
    server = Server(b"pod-a\n", 0)
    threading.Thread(target=server.serve, daemon=True).start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(b"?", ("127.0.0.1", server.udp.getsockname()[1]))
        assert sock.recv(100) == b"pod-a\n"
