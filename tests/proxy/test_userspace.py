"""Userspace mode: portals before rules, and a process that moves bytes."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import Any

from sampan.api.meta import Key
from sampan.linux.base.helper import HelperError
from sampan.linux.fake.nft import FakeNft
from sampan.linux.walk.nft import Walker
from sampan.linux.walk.packet import REJECT, Host, Outcome, Packet
from sampan.proxy.backends.nftables.backend import NftablesBackend
from sampan.proxy.backends.userspace.backend import UserspaceBackend
from sampan.proxy.backends.userspace.localhost import LocalhostNodePorts
from sampan.proxy.backends.userspace.mover import Choice, Mover
from sampan.proxy.backends.userspace.portals import portals
from sampan.proxy.model import Port, Rules, Target
from sampan.proxy.settings import FamilySettings, Settings

NODE = "192.168.77.1"
SETTINGS = Settings("n1", (FamilySettings(4, node_port_ips=(NODE,), node_ips=(NODE,)),))
LISTENING = Settings("n1", (replace(SETTINGS.families[0], loopback_listeners=True),))
KEY = Key("default", "web")


def rules(*ips: str, affinity_s: int = 0, protocol: str = "tcp") -> Rules:
    targets = tuple(Target(ip, 8080, True) for ip in ips)
    port = Port(
        "",
        protocol,
        4,
        "10.96.0.1",
        80,
        30080,
        (),
        (),
        (),
        False,
        False,
        affinity_s,
        targets,
        (),
        bool(ips),
        frozenset(),
    )
    return Rules(KEY, (port,), None, "")


class FakeHelper:
    """Answers like the moving process; remembers what it was asked."""

    def __init__(self) -> None:
        self.questions: list[dict[str, Any]] = []
        self.broken = False
        self._number = 40000

    async def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        if self.broken:
            raise HelperError("gone")
        self.questions.append(question)
        numbers = {}
        for portal in question["portals"]:
            self._number += 1
            numbers[portal["name"]] = self._number
        return {"numbers": numbers, "errors": {}}

    async def ended(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.questions.clear()


def test_rules_lead_to_the_portal_and_not_to_endpoints() -> None:
    nft, helper = FakeNft(), FakeHelper()
    backend = UserspaceBackend(NftablesBackend(nft, SETTINGS), helper, SETTINGS)

    async def main() -> None:
        await backend.resync({})
        await backend.load([backend.render(KEY, None, rules("10.244.1.11", "10.244.1.12"))])

    asyncio.run(main())
    walker = Walker(nft.tables["ip", "kube-proxy"], Host(frozenset({NODE})))
    found = walker.outcomes(Packet("10.244.1.10", "10.96.0.1", "tcp", 80, "veth0"))
    assert found == {Outcome("to", NODE, 40001)}


def test_a_new_endpoint_changes_the_portal_and_no_rule() -> None:
    nft, helper = FakeNft(), FakeHelper()
    backend = UserspaceBackend(NftablesBackend(nft, SETTINGS), helper, SETTINGS)

    async def main() -> None:
        one, two = rules("10.244.1.11"), rules("10.244.1.11", "10.244.1.12")
        await backend.resync({KEY: one})
        helper._number = 40000
        writes = nft.writes
        await backend.load([backend.render(KEY, one, two)])
        assert nft.writes == writes
        assert len(helper.questions[-1]["portals"][0]["targets"]) == 2
        await backend.load([backend.render(KEY, two, None)])
        assert helper.questions[-1]["close"] == ["default/web/tcp/4/cluster"]

    asyncio.run(main())


def test_without_endpoints_clients_are_refused_and_come_back_with_them() -> None:
    nft, helper = FakeNft(), FakeHelper()
    backend = UserspaceBackend(NftablesBackend(nft, SETTINGS), helper, SETTINGS)
    packet = Packet("10.244.1.10", "10.96.0.1", "tcp", 80, "veth0")

    def fate() -> set[Outcome]:
        return set(Walker(nft.tables["ip", "kube-proxy"], Host(frozenset({NODE}))).outcomes(packet))

    async def main() -> None:
        one, none = rules("10.244.1.11"), rules()
        await backend.resync({KEY: one})
        await backend.load([backend.render(KEY, one, none)])
        assert fate() == {REJECT}
        await backend.load([backend.render(KEY, none, one)])
        assert {outcome.verdict for outcome in fate()} == {"to"}
        await backend.load([backend.render(KEY, one, None)])
        assert fate() == {Outcome("pass")}

    asyncio.run(main())


def test_cluster_ip_and_node_port_share_the_clients_that_stay() -> None:
    found = portals(rules("10.244.1.11", affinity_s=60))
    assert {one.affinity for one in found.values()} == {"default/web/tcp/4/"}


def test_node_ports_at_the_loopback_are_listeners_for_everyone() -> None:
    nft, helper = FakeNft(), FakeHelper()
    backend = LocalhostNodePorts(NftablesBackend(nft, SETTINGS), helper)
    backend.configure(LISTENING)

    async def main() -> None:
        one, two = rules("10.244.1.11"), rules("10.244.1.12")
        await backend.resync({KEY: one})
        (asked,) = helper.questions[-1]["portals"]
        assert (asked["address"], asked["number"]) == ("127.0.0.1", 30080)
        assert asked["targets"] == [["10.244.1.11", 8080]]
        await backend.load([backend.render(KEY, one, two)])
        assert helper.questions[-1]["portals"][0]["targets"] == [["10.244.1.12", 8080]]
        await backend.load([backend.render(KEY, two, None)])
        assert helper.questions[-1]["close"] == ["default/web@127.0.0.1:30080"]

    asyncio.run(main())


def test_nobody_listens_at_the_loopback_unless_node_ports_are_served_there() -> None:
    helper = FakeHelper()
    backend = LocalhostNodePorts(NftablesBackend(FakeNft(), SETTINGS), helper)

    async def main() -> None:
        backend.configure(SETTINGS)
        await backend.resync({KEY: rules("10.244.1.11")})
        assert helper.questions == []
        backend.configure(LISTENING)
        await backend.resync({KEY: rules("10.244.1.11")})
        assert len(helper.questions) == 1
        backend.configure(SETTINGS)
        await backend.resync({KEY: rules("10.244.1.11")})
        assert helper.questions[-1]["only"] == []

    asyncio.run(main())


class Inside:
    """The moving process' work without a process."""

    def __init__(self) -> None:
        self.mover = Mover()

    async def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        return self.mover.answer(question)

    async def ended(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.mover.answer({"only": []})


def test_a_port_that_somebody_else_has_is_told_once_and_tried_again() -> None:
    refused: list[tuple[Key, str]] = []

    nobody = (Target("127.0.0.1", closed_port(), True),)

    def with_port(number: int) -> Rules:
        made = rules("127.0.0.1")
        changes = {"node_port": number, "cluster": nobody}
        return made._replace(ports=tuple(port._replace(**changes) for port in made.ports))

    async def main() -> None:
        backend = LocalhostNodePorts(NftablesBackend(FakeNft(), LISTENING), Inside())
        backend.refused = lambda key, why: refused.append((key, why))
        backend.configure(LISTENING)
        more = Key("default", "more")
        with socket.create_server(("127.0.0.1", 0)) as other:
            taken, free = other.getsockname()[1], closed_port()
            model = {KEY: with_port(taken), more: with_port(free)}
            for _ in range(2):
                await backend.resync(model)
            assert [key for key, _ in refused] == [KEY]
            assert f"127.0.0.1:{taken}" in refused[0][1]
            # Served: the connection ends because nobody is behind it.
            assert await said(free, b"") == b""
        await backend.resync(model)
        assert await said(taken, b"") == b""
        await backend.resync({})
        with socket.socket() as sock:
            assert sock.connect_ex(("127.0.0.1", taken)) != 0
            assert sock.connect_ex(("127.0.0.1", free)) != 0

    asyncio.run(main())


def test_portals_and_listeners_of_one_process_do_not_close_each_other() -> None:
    async def main() -> None:
        mover = Mover()
        mover.answer(question(portal("tcp", 1)))
        loopback = {**portal("tcp", 1), "name": "l", "address": "127.0.0.1"}
        mover.answer({"portals": [loopback], "only": ["l"], "kind": "loopback"})
        assert set(mover._portals) == {"p/tcp", "l"}
        mover.answer({"only": []})
        assert set(mover._portals) == {"l"}
        mover.answer({"only": [], "kind": "loopback"})
        assert not mover._portals

    asyncio.run(main())


def test_no_two_portals_have_the_same_port() -> None:
    """The kernel gives a port twice to UDP sockets that may all be reused."""
    many = [{**portal("udp", 1), "name": f"p/{number}"} for number in range(600)]

    async def main() -> None:
        mover = Mover()
        numbers = mover.answer(question(*many))["numbers"]
        mover.answer({"only": []})
        assert len(set(numbers.values())) == len(many)

    asyncio.run(main())


def test_sctp_has_no_portal() -> None:
    assert portals(rules("10.244.1.11", protocol="sctp")) == {}


def test_endpoints_take_turns_and_clients_with_affinity_stay() -> None:
    choice = Choice({})
    choice.targets = [("a", 1), ("b", 1)]
    assert [choice.order("x", 0)[0][0] for _ in range(4)] == ["a", "b", "a", "b"]
    choice.affinity, choice.affinity_s = "svc", 60
    choice.answered("x", ("b", 1), 0)
    assert [choice.order("x", 59)[0][0] for _ in range(3)] == ["b", "b", "b"]
    # Anew after the timeout, and at once for all connections that begin before the first answer.
    assert len({choice.order("x", 61 + late)[0][0] for late in range(3)}) == 1
    assert {choice.order(client, 61)[0][0] for client in "yz"} == {"a", "b"}


class Echo:
    """A TCP server that repeats what it hears behind its name."""

    def __init__(self, name: str) -> None:
        self._name = name.encode()
        self._talks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    async def finish(self) -> None:
        """Wait until every client has left."""
        self._server.close()
        await asyncio.wait_for(asyncio.gather(*self._talks), 5)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        while data := await reader.read(1000):
            writer.write(self._name + b":" + data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()


def portal(protocol: str, *ports: int) -> dict[str, Any]:
    targets = [["127.0.0.1", port] for port in ports]
    return {
        "name": f"p/{protocol}",
        "protocol": protocol,
        "family": 4,
        "targets": targets,
        "affinity": "",
        "affinity_s": 0,
    }


def question(*some: dict[str, Any]) -> dict[str, Any]:
    return {"portals": list(some), "addresses": {"4": "127.0.0.1"}}


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        number: int = sock.getsockname()[1]
        return number


async def said(port: int, words: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(words)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def test_bytes_are_moved_both_ways_and_dead_endpoints_are_skipped() -> None:
    async def main() -> None:
        server = Echo("a")
        port = await server.start()
        mover = Mover()
        number = mover.answer(question(portal("tcp", closed_port(), port)))["numbers"]["p/tcp"]
        answers = [await said(number, b"hello") for _ in range(4)]
        assert set(answers) == {b"a:hello"}
        large = b"x" * 500_000
        assert len(await said(number, large)) >= len(large)
        await server.finish()
        mover.answer({"only": []})

    asyncio.run(main())


def test_a_half_closed_connection_goes_on_the_other_way() -> None:
    async def main() -> None:
        over = asyncio.Event()

        async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard = await reader.read()
            for part in (b"you said ", heard):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            writer.close()
            await writer.wait_closed()
            over.set()

        server = await asyncio.start_server(late, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        mover = Mover()
        number = mover.answer(question(portal("tcp", port)))["numbers"]["p/tcp"]
        assert await said(number, b"hello") == b"you said hello"
        await asyncio.wait_for(over.wait(), 5)
        server.close()
        mover.answer({"only": []})

    asyncio.run(main())


def test_many_connections_at_once_are_all_served() -> None:
    async def main() -> None:
        servers = [Echo("a"), Echo("b")]
        ports = [await server.start() for server in servers]
        mover = Mover()
        number = mover.answer(question(portal("tcp", *ports)))["numbers"]["p/tcp"]
        answers = await asyncio.gather(*(said(number, b"%d" % n) for n in range(200)))
        assert [answer.partition(b":")[2] for answer in answers] == [b"%d" % n for n in range(200)]
        names = [answer[:1] for answer in answers]
        # In turn: none has more than its share.
        assert names.count(b"a") == names.count(b"b") == 100
        for server in servers:
            await server.finish()
        mover.answer({"only": []})

    asyncio.run(main())


def test_open_connections_outlive_their_portal() -> None:
    async def main() -> None:
        server = Echo("a")
        port = await server.start()
        mover = Mover()
        number = mover.answer(question(portal("tcp", port)))["numbers"]["p/tcp"]
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(b"one")
        assert await reader.read(100) == b"a:one"
        mover.answer({"close": ["p/tcp"]})
        writer.write(b"two")
        assert await reader.read(100) == b"a:two"
        writer.close()
        await writer.wait_closed()
        await server.finish()

    asyncio.run(main())


def test_datagrams_follow_the_endpoints() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        servers = []
        for name in (b"a", b"b"):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))

            def answer(sock: socket.socket = sock, name: bytes = name) -> None:
                data, peer = sock.recvfrom(100)
                sock.sendto(name + data, peer)

            loop.add_reader(sock.fileno(), answer)
            servers.append(sock)
        one, two = (sock.getsockname()[1] for sock in servers)
        mover = Mover()
        number = mover.answer(question(portal("udp", one)))["numbers"]["p/udp"]
        # The first one drains: its flow stays until it is gone.
        draining = {**portal("udp", two), "serving": [["127.0.0.1", one], ["127.0.0.1", two]]}
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", number))
        for wanted, asked in (
            (b"a", portal("udp", one)),
            (b"a", draining),
            (b"b", portal("udp", two)),
        ):
            mover.answer(question(asked))
            await loop.sock_sendall(client, b"?")
            assert await asyncio.wait_for(loop.sock_recv(client, 100), 2) == wanted + b"?"
        mover.answer({"only": []})
        for sock in (*servers, client):
            loop.remove_reader(sock.fileno())
            sock.close()

    asyncio.run(main())
