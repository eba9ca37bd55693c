"""Programs sent to a host with their payload, run there by Python, and gone: nothing to install, no version to keep.

An agent is a package of socle that uses the standard library and itself only. It goes on standard input
together with its payload, so that nothing secret is ever in an argument.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

# Modules come as [name, source] in the order in which they import each other.
BOOTSTRAP = """
import base64, json, sys, types, zlib
for name, source in json.loads(zlib.decompress(base64.b64decode(sys.stdin.readline()))):
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
module.main()
"""
COMMAND = ("python3", "-I", "-c", BOOTSTRAP)
"""Python, isolated from its environment, running what comes on standard input."""
ANSWER_BYTES = 256 * 1024**2
"""More than any answer has, once it is unpacked."""
_SOURCES = Path(__file__).parent


def pack(data: bytes) -> str:
    """Text on one line, for standard input."""
    return base64.b64encode(zlib.compress(data)).decode()


def pack_payload(payload: Mapping[str, Any]) -> str:
    """What the agent's `main` reads after its own source."""
    return pack(json.dumps(payload).encode())


def unpack_answer(text: str) -> dict[str, Any]:
    """The agent's answer. Raises ValueError when there is none: a host may be hostile."""
    unpacker = zlib.decompressobj()
    try:
        answer = json.loads(unpacker.decompress(base64.b64decode(text), ANSWER_BYTES))
    except (zlib.error, RecursionError) as error:
        raise ValueError(str(error)) from None
    if not isinstance(answer, dict):
        raise ValueError("expected an object")
    return answer


@cache
def make_agent(package: str, names: Sequence[str]) -> str:
    """The first line of input: the modules `names` of a package such as socle.sites.agent; the last has `main`."""
    folder = _SOURCES.joinpath(*package.split(".")[1:])
    parts = package.split(".")
    empty = [[".".join(parts[: count + 1]), ""] for count in range(len(parts))]
    modules = [[f"{package}.{name}", (folder / f"{name}.py").read_text()] for name in names]
    return pack(json.dumps([*empty, *modules]).encode())
