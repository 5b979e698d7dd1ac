"""An API server that has just enough to feed a DNS server: lists in pages, and watches.

`python -m benchmarks.dns.fakeapi PORT SERVICES ENDPOINTS` serves one namespace, so many Services
and for each an EndpointSlice with so many addresses. A line on standard input asks for changes:
`churn RATE` writes that many slices a second until the next line; `set N` gives slice 0 the address
`10.255.0.N` at once and prints the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

NAMESPACE = "bench"
Obj = dict[str, Any]
KINDS = {
    "/api/v1/namespaces": ("v1", "Namespace"),
    "/api/v1/services": ("v1", "Service"),
    "/apis/discovery.k8s.io/v1/endpointslices": ("discovery.k8s.io/v1", "EndpointSlice"),
}


REFUSAL = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid",
           "code": 422, "message": "not served here"}  # fmt: skip


def address(number: int) -> str:
    return f"10.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


class Api:
    def __init__(self, services: int, endpoints: int) -> None:
        self.version = 1
        self.endpoints = endpoints
        self.watching: list[tuple[str, asyncio.StreamWriter]] = []
        self.churning: asyncio.Task[None] | None = None
        self.objects: dict[str, list[Obj]] = {
            "/api/v1/namespaces": [{"metadata": {"name": NAMESPACE, "resourceVersion": "1"}}],
            "/api/v1/services": [self.service(i) for i in range(services)],
            "/apis/discovery.k8s.io/v1/endpointslices": [
                self.slice(i, [address(i * endpoints + n) for n in range(endpoints)])
                for i in range(services)
            ],
        }

    def meta(self, name: str) -> Obj:
        return {"name": name, "namespace": NAMESPACE, "resourceVersion": str(self.version),
                "uid": name, "labels": {}}  # fmt: skip

    def service(self, number: int) -> Obj:
        # Slice 0 belongs to a headless Service, whose answers follow its endpoints.
        ip = "None" if number == 0 else f"10.96.{number >> 8}.{number & 255}"
        return {
            "metadata": self.meta(f"svc-{number}"),
            "spec": {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip],
                     "ports": [{"name": "http", "protocol": "TCP", "port": 80}]},
        }  # fmt: skip

    def slice(self, number: int, addresses: list[str]) -> Obj:
        meta = self.meta(f"svc-{number}-x")
        meta["labels"] = {"kubernetes.io/service-name": f"svc-{number}"}
        return {
            "metadata": meta, "addressType": "IPv4",
            "endpoints": [
                {"addresses": [ip], "conditions": {"ready": True},
                 "targetRef": {"kind": "Pod", "name": f"p-{ip}", "namespace": NAMESPACE}}
                for ip in addresses
            ],
            "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
        }  # fmt: skip

    # Requests

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                target = urlsplit(head.split(b" ", 2)[1].decode())
                asked = {key: values[0] for key, values in parse_qs(target.query).items()}
                if "sendInitialEvents" in asked:
                    self.reply(writer, None)  # who streams lists can also ask for them
                elif asked.get("watch") in ("true", "1"):
                    self.watch(target.path, writer)
                else:
                    self.reply(writer, self.listed(target.path, asked))
                await writer.drain()

    def reply(self, writer: asyncio.StreamWriter, body: Obj | None) -> None:
        data = json.dumps(body or REFUSAL).encode()
        status = "200 OK" if body else "422 Unprocessable Entity"
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
        writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)

    def listed(self, path: str, asked: dict[str, str]) -> Obj | None:
        if path not in KINDS:
            return None
        version, kind = KINDS[path]
        start, size = int(asked.get("continue", 0)), int(asked.get("limit", 0)) or 1 << 30
        items = self.objects[path]
        meta = {"resourceVersion": str(self.version)}
        if start + size < len(items):
            meta["continue"] = str(start + size)
        page = items[start : start + size]
        return {"kind": kind + "List", "apiVersion": version, "metadata": meta, "items": page}

    def watch(self, path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n"
            b"\r\n"
        )
        self.watching.append((path, writer))

    # Changes

    def change(self, number: int, addresses: list[str]) -> None:
        path = "/apis/discovery.k8s.io/v1/endpointslices"
        self.version += 1
        changed = self.objects[path][number] = self.slice(number, addresses)
        version, kind = KINDS[path]
        event = {"type": "MODIFIED", "object": {"kind": kind, "apiVersion": version, **changed}}
        data = json.dumps(event).encode() + b"\n"
        chunk = b"%x\r\n%s\r\n" % (len(data), data)
        for watched, writer in self.watching:
            if watched == path and not writer.is_closing():
                writer.write(chunk)

    async def churn(self, rate: int) -> None:
        """Slices but the first, in turn, each time with other addresses."""
        began, done, count = time.monotonic(), 0, len(self.objects["/api/v1/services"])
        while True:
            due = int((time.monotonic() - began) * rate)
            for turn in range(done, due):
                first = turn * 7 % (1 << 20)
                self.change(1 + turn % (count - 1), [address(first + n) for n in range(10)])
            done = max(done, due)
            await asyncio.sleep(0.002)

    def told(self, line: str) -> None:
        verb, _, word = line.partition(" ")
        if self.churning is not None:
            self.churning.cancel()
            self.churning = None
        if verb == "churn" and int(word):
            self.churning = asyncio.get_running_loop().create_task(self.churn(int(word)))
        elif verb == "set":
            self.change(0, [f"10.255.0.{word}"])
            print(time.monotonic(), flush=True)


async def serve(port: int, services: int, endpoints: int) -> None:
    api = Api(services, endpoints)
    server = await asyncio.start_server(api.serve, "127.0.0.1", port)
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def readable() -> None:
        line = sys.stdin.readline()
        api.told(line.strip()) if line else closed.set()

    loop.add_reader(sys.stdin.fileno(), readable)
    print("ready", flush=True)
    async with server:
        await closed.wait()


if __name__ == "__main__":
    asyncio.run(serve(*map(int, sys.argv[1:4])))
