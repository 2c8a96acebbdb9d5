# SPDX-License-Identifier: Apache-2.0
"""The include direction of ARCHITECTURE.md: a room may include only the rooms named here; libuv stays behind
net/loop_uv.c, and NaCl's boxes behind seal/."""
import re

from sources import c_files, code_only, finish, read

MAY_INCLUDE = {
    "base": "",
    "net": "base",
    "proto": "base",
    "seal": "base",
    "store": "base",
    "attest": "base proto seal",
    "identity": "base proto seal",
    "ledger": "base store",
    "coordinator": "base net proto seal attest store ledger identity",
    "provider": "base net proto seal attest store ledger identity",
    "cli": "base net proto seal attest store ledger identity coordinator provider",
    "docs": "base proto attest coordinator provider",
    "bench": "base net proto seal attest store ledger identity coordinator provider",
}
# Inside the coordinator: folder → the folders that it may include (its own, and the files beside the folders).
COORDINATOR_MAY_INCLUDE = {
    "registry": "",
    "admit": "registry",
    "reply": "",
    "flow": "registry admit reply",
    "api": "registry admit reply flow command",
    "command": "",
}
# The provider is two programs: what runs in the engine's process knows nothing of the daemon, and the daemon of the
# engine no more than its port. `wire` is what the two say to each other.
ENGINE_PORT = {"provider/engine/engine_port.h", "provider/engine/load.h"}
ENGINE_MAY_INCLUDE = ("provider/engine/", "provider/wire/", "provider/file_hash.h")
ENGINE_ROOMS = {"base", "proto", "provider"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
SEALING = re.compile(r"\bcrypto_(?:box|secretbox|aead)_?\w*\s*\(")


def coordinator_arrow(path, target):
    parts = target.split("/")
    if len(parts) < 3 or len(path.parts) < 4 or path.parts[2] == parts[1]:
        return True
    return parts[1] in COORDINATOR_MAY_INCLUDE.get(path.parts[2], "").split()


def provider_arrow(path, target):
    here = path.as_posix()
    if here.startswith("src/provider/engine/"):
        return target.split("/")[0] in ENGINE_ROOMS and (
            not target.startswith("provider/") or target.startswith(ENGINE_MAY_INCLUDE))
    if here.startswith(("src/provider/wire/", "src/provider/file_hash")):
        return not target.startswith("provider/") or target in ENGINE_PORT or target.startswith(
            ("provider/wire/", "provider/file_hash.h"))
    return not target.startswith("provider/engine/") or target in ENGINE_PORT


def check(path):
    room, text = path.parts[1], read(path)
    if room not in MAY_INCLUDE:
        yield f"{path}: src/{room} is no room of the plan (ARCHITECTURE.md); add it there and here"
        return
    for match in INCLUDE.finditer(text):
        line, target = text.count("\n", 0, match.start()) + 1, match[2]
        other = target.split("/")[0]
        if match[1] == '"' and "/" not in target:
            yield f'{path}:{line}: include "{target}" from the root src/, as in "{room}/{target}"'
        elif match[1] == '"' and other != room and other not in MAY_INCLUDE[room].split():
            yield f'{path}:{line}: {room}/ may not include "{target}"'
        elif other == room == "coordinator" and not coordinator_arrow(path, target):
            yield f'{path}:{line}: coordinator/{path.parts[2]}/ may not include "{target}"'
        elif room == "provider" and match[1] == '"' and not provider_arrow(path, target):
            yield f'{path}:{line}: {"/".join(path.parts[1:3])} may not include "{target}"; daemon and engine are two programs'
        elif target == "uv.h" and path.as_posix() != "src/net/loop_uv.c":
            yield f"{path}:{line}: only src/net/loop_uv.c includes uv.h"
    if room != "seal":
        for match in SEALING.finditer(code_only(text)):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{path}:{line}: only src/seal/ seals and opens ({match[0].rstrip(' (')})"


finish("arrows", [finding for path in c_files("src") for finding in check(path)])
