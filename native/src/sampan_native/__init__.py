"""Where the compiled receive loop lies; `sampan.linux.real.datagrams_native` calls it."""

from pathlib import Path

LIBRARY = Path(__file__).with_name("answer.abi3.so")
