"""Fuzzing of the DNS codec, the Corefile parser and the zone file parser: no crash, no hang.

`tools/fuzz_dns.py [--seconds 60] [--seed N] [TARGET ...]` changes good input in random ways, keeps
what leads to lines that nothing before has led to, and goes on from there. It ends with the counts
and, on the first failure, with the input in hexadecimal and exit code 1. Every call has a deadline.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NamedTuple

from sampan.dns import corefile, expression, gotemplate, message, names, zonefile
from sampan.dns.corefile import CorefileError
from sampan.dns.expression_functions import ASKED
from sampan.dns.finish import screen
from sampan.dns.plugins import PLUGINS
from sampan.dns.render import render
from sampan.std import goregexp

DEADLINE_S = 2.0
MAX_KEPT = 5000
WATCHED = ("/dns/",)


def codec(data: bytes) -> None:
    """What can be read can be written, and reads the same again."""
    screen(data)
    try:
        first = message.parse(data)
    except message.BadMessage:
        return
    try:
        wire = render(first, squeeze_over=0)
    except names.BadName:
        return
    again = message.parse(wire)
    if len(wire) < 60000 and again.question != first.question:
        raise AssertionError("the question changed on its way")
    render(first, 512)


def parse_corefile(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    source = corefile.Sources(PLUGINS, {"A": "a", "B": "{ }"})
    try:
        corefile.parse(text, "/nonexistent/Corefile", source)
    except CorefileError:
        return


def parse_zone(data: bytes) -> None:
    try:
        for _ in zonefile.read(data.decode("utf-8", "replace"), "example.org.", "/nonexistent/db"):
            pass
    except zonefile.BadZone:
        return


def parse_words(data: bytes) -> None:
    """The small languages inside a Corefile."""
    text = data.decode("utf-8", "replace")
    for parse, failure in (
        (lambda: expression.compiled(text, ASKED), expression.BadExpression),
        (lambda: gotemplate.compiled(text), gotemplate.BadTemplate),
        (lambda: goregexp.compiled(text), goregexp.BadPattern),
    ):
        try:
            parse()
        except failure:
            continue


class Target(NamedTuple):
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]
    """What is put in."""


QUERY = bytes.fromhex("00010100000100000000000103777777076578616d706c65036f7267000001000100002904d0"
                      "00000000000c000a00080102030405060708")  # fmt: skip
REPLY = bytes.fromhex("00018180000100020000000003777777076578616d706c65036f72670000010001c00c0005"
                      "00010000003c000603667470c010c02d000100010000003c0004c0000201")  # fmt: skip
COREFILE = b"""(snip) {
    errors
}
example.org:5300, tls://{$A}:853 10.0.0.0/9 {
    import snip
    forward . 1.1.1.1 { # comment
        max_fails 2
    }
    log . "{remote} \\"x\\""
    kubernetes cluster.local {
        pods insecure
    }
}
"""
ZONE = b"""$ORIGIN example.org.
$TTL 1h
@ IN SOA ns admin ( 1 2 3
  4 5 ) ; comment
  NS ns
ns 5m A 192.0.2.1
* TXT "a \\"b\\"" \\# x
srv SRV 1 2 3 ns
loc LOC 52 22 23.000 N 4 53 32.000 E -2.00m
svc HTTPS 1 . alpn=h2,h3 port=53
unk TYPE65280 \\# 2 abcd
$GENERATE 1-3 h$ A 10.0.0.${0,3,d}
"""
WORDS = (
    b"type() in ['A', \"B\"] && !(name() startsWith 'x') ? 1 : any([1, 2], # > 1)",
    b'{{ if eq .Name "x" }}{{ index .Match 1 | printf "%v" }}{{ else }}y{{ end }}',
    b"^(?P<a>[0-9]+)\\.(x|y)*[[:alpha:]]{2,3}$",
)
TARGETS = {
    "codec": Target(codec, (QUERY, REPLY), (b"\xc0\x0c", b"\0\x29", b"\xff\xff", b"\0", b"\x3f")),
    "corefile": Target(
        parse_corefile, (COREFILE,),
        (b"{", b"}", b"\n", b'"', b"\\", b"import ", b"(s) {\n", b"{$A}", b"{%B%}", b"#", b"*"),
    ),
    "zone": Target(
        parse_zone, (ZONE,),
        (b"(", b")", b";", b'"', b"\\", b"$INCLUDE x", b"$GENERATE 1-99 a A 1.1.1.1", b"@", b"\\#"),
    ),
    "words": Target(
        parse_words, WORDS, (b"(", b"[", b"{{", b"}}", b"#", b"'", b"\\", b"|", b"?", b"*", b"(?i)")
    ),
}  # fmt: skip


class Hang(Exception):
    """A call took longer than it may."""


def changed(data: bytes, words: tuple[bytes, ...], chance: random.Random) -> bytes:
    """The input with a few bytes changed, cut, doubled or put in."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(out) + 1)
        end = min(len(out), at + chance.randint(1, 12))
        what = chance.randrange(5)
        if what == 0 and at < len(out):
            out[at] = chance.randrange(256)
        elif what == 1:
            del out[at:end]
        elif what == 2:
            out[at:at] = out[at:end] * chance.randint(1, 4)
        elif what == 3:
            out[at:at] = chance.choice(words)
        elif what == 4 and at < len(out):
            out[at] ^= 1 << chance.randrange(8)
    return bytes(out[:4096])


class Fuzzer:
    """One target with the inputs that are worth going on from."""

    def __init__(self, target: Target, chance: random.Random) -> None:
        self.target = target
        self.chance = chance
        self.kept = list(target.seeds)
        self.lines: set[tuple[str, int]] = set()
        self.fresh = False
        self.count = 0

    def inputs(self) -> Iterator[bytes]:
        yield from self.target.seeds
        while True:
            yield changed(self.chance.choice(self.kept), self.target.words, self.chance)

    def run(self, seconds: float, count: int) -> bytes | None:
        """The input that failed, if one did."""
        until = time.monotonic() + seconds
        for data in self.inputs():
            if time.monotonic() > until or self.count >= count:
                return None
            self.count += 1
            if not self.try_one(data):
                return data
        return None

    def try_one(self, data: bytes) -> bool:
        # One in eight is watched line by line: that costs ten times as much.
        watched = self.count % 8 == 1 or self.count <= len(self.target.seeds)
        self.fresh = False
        signal.setitimer(signal.ITIMER_REAL, DEADLINE_S)
        if watched:
            sys.settrace(self.trace)
        try:
            self.target.run(data)
        except Exception as bad:  # noqa: BLE001 - that is what is looked for
            print(f"{type(bad).__name__}: {bad}", file=sys.stderr)
            return False
        finally:
            sys.settrace(None)
            signal.setitimer(signal.ITIMER_REAL, 0)
        if self.fresh and len(self.kept) < MAX_KEPT:
            self.kept.append(data)
        return True

    def trace(self, frame: FrameType, event: str, argument: object) -> object:
        if not any(part in frame.f_code.co_filename for part in WATCHED):
            return None
        place = (frame.f_code.co_filename, frame.f_lineno)
        if place not in self.lines:
            self.lines.add(place)
            self.fresh = True
        return self.trace


def _hang(number: int, frame: FrameType | None) -> None:
    raise Hang(f"longer than {DEADLINE_S} s")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--count", type=int, default=1 << 62, help="inputs for each target")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    seed = args.seed or random.SystemRandom().randrange(1 << 32)
    signal.signal(signal.SIGALRM, _hang)
    for name in args.targets or TARGETS:
        fuzzer = Fuzzer(TARGETS[name], random.Random(seed))
        failed = fuzzer.run(args.seconds, args.count)
        print(
            f"{name}: {fuzzer.count:,} inputs, {len(fuzzer.lines)} lines, seed {seed}", flush=True
        )
        if failed is not None:
            print(f"failed on {failed.hex()}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
