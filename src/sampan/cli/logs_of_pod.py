"""`sampan logs POD`: what a pod's container said."""

from __future__ import annotations

import argparse
import asyncio
import sys
from urllib.parse import urlencode

from sampan.api import errors
from sampan.api.kinds import PODS
from sampan.cli.connect import session
from sampan.cli.outcome import Exit
from sampan.client.transport import Request


def run(args: argparse.Namespace) -> int:
    args.context = getattr(args, "context", "")
    return asyncio.run(_logs(args))


async def _logs(args: argparse.Namespace) -> int:
    query = {"container": args.container, "follow": "true" if args.follow else ""}
    query = {key: value for key, value in query.items() if value}
    name = args.component.removeprefix("pod/").removeprefix("pods/")
    async with session(args) as talk:
        path = PODS.path(talk.namespace, name, "log")
        reply = await talk.client.raw(Request("GET", path, urlencode(query)))
        if reply.status != 200:
            import orjson

            raise errors.from_status(orjson.loads(await reply.read()), reply.status)
        if isinstance(reply.body, bytes):
            sys.stdout.buffer.write(reply.body)
        else:
            async for chunk in reply.body:
                sys.stdout.buffer.write(chunk)
                sys.stdout.flush()
    return Exit.OK
