"""How long a TCP connect takes through the rules: client, node and endpoint in three namespaces.

client 172.31.0.2 -- 172.31.0.1 node 172.31.1.1 -- 172.31.1.2 endpoint (all of 10.128.0.0/9)
"""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import sys
import threading
import time

from benchmarks.proxy.one import backend
from benchmarks.proxy.shapes import endpoint, rules, vip
from sampan.linux.real import netns

NAMES = ("spb-client", "spb-node", "spb-end")
CONNECTS = 3000


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def build() -> None:
    remove()
    for name in NAMES:
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
    client, node, end = NAMES
    run("ip", "link", "add", "spb0", "netns", client, "type", "veth", "peer", "eth0", "netns", node)
    run("ip", "link", "add", "spb1", "netns", end, "type", "veth", "peer", "eth1", "netns", node)
    for name, device, address in (
        (client, "spb0", "172.31.0.2/24"),
        (node, "eth0", "172.31.0.1/24"),
        (node, "eth1", "172.31.1.1/24"),
        (end, "spb1", "172.31.1.2/24"),
    ):
        run("ip", "-n", name, "addr", "add", address, "dev", device)
        run("ip", "-n", name, "link", "set", device, "up")
    run("ip", "-n", client, "route", "add", "default", "via", "172.31.0.1")
    run("ip", "-n", end, "route", "add", "default", "via", "172.31.1.1")
    run("ip", "-n", end, "route", "add", "local", "10.128.0.0/9", "dev", "lo")
    run("ip", "-n", node, "route", "add", "10.128.0.0/9", "via", "172.31.1.2")
    run("ip", "netns", "exec", node, "sysctl", "-qw", "net.ipv4.ip_forward=1")


def remove() -> None:
    for name in NAMES:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def serve() -> None:
    """Accept and hang up, for ever."""
    with netns.inside(f"/run/netns/{NAMES[2]}"):
        listener = socket.create_server(("0.0.0.0", 8080), backlog=1024)
    while True:
        listener.accept()[0].close()


def connects(targets: list[tuple[str, int]]) -> list[float]:
    """Microseconds of each connect, sorted."""
    times = []
    with netns.inside(f"/run/netns/{NAMES[0]}"):
        for _ in range(CONNECTS):
            sock = socket.socket()
            target = random.choice(targets)
            begun = time.perf_counter()
            sock.connect(target)
            times.append((time.perf_counter() - begun) * 1e6)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
    return sorted(times)


def main(argv: list[str]) -> None:
    sizes = [int(word) for word in argv] or [1, 1000, 10000]
    build()
    try:
        threading.Thread(target=serve, daemon=True).start()
        time.sleep(0.2)
        print("| connect through the node | p50 µs | p99 µs |\n|---|---|---|")
        direct = connects([(endpoint(0, 0, 0), 8080)])
        print(f"| direct | {direct[CONNECTS // 2]:.0f} | {direct[CONNECTS * 99 // 100]:.0f} |")
        for size in sizes:
            with netns.inside(f"/run/netns/{NAMES[1]}"):
                made = backend("nftables")
                model = {one.key: one for one in (rules(number, 2) for number in range(size))}
                asyncio.run(made.resync(model))
            found = connects([(vip(number), 80) for number in range(size)])
            middle, most = found[CONNECTS // 2], found[CONNECTS * 99 // 100]
            print(f"| nftables, {size} Services | {middle:.0f} | {most:.0f} |")
    finally:
        remove()


if __name__ == "__main__":
    main(sys.argv[1:])
