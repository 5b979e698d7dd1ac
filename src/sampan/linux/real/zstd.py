"""Zstandard streams by the system's libzstd (dpkg itself needs it, so it is there), or by Python
3.14's own module.
"""

from __future__ import annotations

import ctypes
import io
from typing import IO, Any

IN_SIZE, OUT_SIZE = 1 << 17, 1 << 17


class NoZstd(OSError):
    """Neither is there."""


class _Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t)]


def decompress(stream: IO[bytes]) -> IO[bytes]:
    """What is in a stream of zstd frames. Raises NoZstd."""
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return io.BufferedReader(_ZstdReader(stream, _library()), OUT_SIZE)
    found: IO[bytes] = zstd.ZstdFile(stream)
    return found


def _library() -> Any:
    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError:
        text = "this machine has no libzstd.so.1: apt install libzstd1"
        raise NoZstd(text) from None
    library.ZSTD_createDStream.restype = ctypes.c_void_p
    library.ZSTD_decompressStream.restype = ctypes.c_size_t
    library.ZSTD_decompressStream.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    library.ZSTD_isError.argtypes = [ctypes.c_size_t]
    library.ZSTD_getErrorName.restype = ctypes.c_char_p
    library.ZSTD_getErrorName.argtypes = [ctypes.c_size_t]
    library.ZSTD_freeDStream.argtypes = [ctypes.c_void_p]
    return library


class _ZstdReader(io.RawIOBase):
    def __init__(self, stream: IO[bytes], library: Any) -> None:
        self.stream, self.library = stream, library
        self.context = library.ZSTD_createDStream()
        self.input = _Buffer(None, 0, 0)
        self.held: Any = None
        """Keeps the input's memory alive."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        room = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        output = _Buffer(ctypes.addressof(room), len(buffer), 0)
        while output.pos == 0:
            if self.input.pos == self.input.size:
                data = self.stream.read(IN_SIZE)
                if not data:
                    return 0
                self.held = ctypes.create_string_buffer(data, len(data))
                self.input = _Buffer(ctypes.addressof(self.held), len(data), 0)
            code = self.library.ZSTD_decompressStream(
                self.context, ctypes.byref(output), ctypes.byref(self.input)
            )
            if self.library.ZSTD_isError(code):
                name = self.library.ZSTD_getErrorName(code).decode()
                raise OSError(f"damaged zstd data: {name}")
        return int(output.pos)

    def close(self) -> None:
        if self.context and not self.closed:
            self.library.ZSTD_freeDStream(self.context)
            self.context = None
        super().close()
