# SPDX-License-Identifier: Apache-2.0
"""Functions that no code here calls, with what to use instead."""
import re

from sources import c_files, code_only, finish, read

BANNED = {
    "strcpy": "struct buf or memcpy with a known size",
    "strcat": "struct buf",
    "strncpy": "memcpy with a known size",
    "strncat": "struct buf",
    "sprintf": "snprintf",
    "vsprintf": "vsnprintf",
    "strtok": "str_split",
    "atoi": "the parsers of base/str.h",
    "atol": "the parsers of base/str.h",
    "atof": "the parsers of base/str.h",
    "sscanf": "a parser that says what is wrong",
    "gets": "a bounded read",
    "alloca": "the request's region",
    "rand": "base/rand.h",
    "srand": "base/rand.h",
}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")


def check(path):
    text = code_only(read(path))
    for match in CALL.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield f"{path}:{line}: {match[1]} is banned; use {BANNED[match[1]]}"


finish("banned", [finding for path in c_files("src", "tests") for finding in check(path)])
