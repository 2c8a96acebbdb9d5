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
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
SEALING = re.compile(r"\bcrypto_(?:box|secretbox|aead)_?\w*\s*\(")


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
        elif target == "uv.h" and path.as_posix() != "src/net/loop_uv.c":
            yield f"{path}:{line}: only src/net/loop_uv.c includes uv.h"
    if room != "seal":
        for match in SEALING.finditer(code_only(text)):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{path}:{line}: only src/seal/ seals and opens ({match[0].rstrip(' (')})"


finish("arrows", [finding for path in c_files("src") for finding in check(path)])
