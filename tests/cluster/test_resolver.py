"""The way out for names."""

import asyncio
from pathlib import Path
from typing import cast

from sampan.cluster import resolver
from sampan.cluster.readiness import question


def test_name_servers_are_read_as_the_c_library_does() -> None:
    text = "# c\nnameserver 192.0.2.1\nsearch a b\nnameserver\nnameserver 192.0.2.2\noptions x\n"
    assert resolver.nameservers(text) == ("192.0.2.1", "192.0.2.2")
    assert resolver.nameservers("") == ("127.0.0.1",)
    assert resolver.nameservers("nameserver 1\n" * 9) == ("1", "1", "1")
    assert resolver.search_domains(text) == "search a b\n"
    assert resolver.search_domains("") == ""


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    resolvers = resolver.HostResolvers(path)
    assert resolvers.now() == ()
    path.write_text("nameserver 192.0.2.1\n")
    assert resolvers.now() == ("192.0.2.1",)
    path.write_text("nameserver 192.0.2.22\n")
    assert resolvers.now() == ("192.0.2.22",)


class Echo(asyncio.DatagramProtocol):
    """A resolver that returns the query with the answer bit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data[:2] + b"\x81\x80" + data[4:], addr)


async def test_an_exchange_keeps_the_id_of_the_client() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    query = question("kubernetes.default.svc.cluster.local")
    try:
        answer = await resolver.ask("127.0.0.1", query, port=port)
    finally:
        transport.close()
    assert answer == query[:2] + b"\x81\x80" + query[4:]


def test_a_failure_repeats_the_question() -> None:
    query = question("a.b")
    answer = resolver.failure(query)
    assert (answer[:2], answer[4:]) == (query[:2], query[4:])
    assert answer[2] & 0x80
    assert answer[3] & 0x0F == 2
