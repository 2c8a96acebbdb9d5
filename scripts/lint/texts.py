# SPDX-License-Identifier: Apache-2.0
"""What every text file must have or must not have: the licence line, no registry's host name, no path of the
machine on which it was written, no unfinished business."""
import re

from sources import finish, read, repository_files

SPDX = "SPDX-License-Identifier: Apache-2.0"
NEEDS_SPDX = {".c", ".h", ".def", ".cpp", ".hpp", ".py", ".sh", ".mjs", ".js", ".ts", ".sql"}
NEEDS_SPDX_NAMES = {"Makefile", "CMakeLists.txt"}
HEAD_LINES = 3

FORBIDDEN = {
    "a registry's or mirror's host name": re.compile(
        r"\b(?:deb|security|snapshot|ftp)\.debian\.(?:org|net)\b|\bregistry\.[a-z]+js\.org\b|\bpypi\.org\b"
        r"|\bpythonhosted\b|\bstatic\.crates\.io\b|\bregistry\.[a-z]+\.(?:com|io)\b", re.I),
    "a path of one machine": re.compile(r"(?<![\w.])/(?:work|home|Users|root)/[a-z]\w*"),
    "unfinished business": re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b"),
}


def check(path):
    try:
        text = read(path)
    except UnicodeDecodeError:
        return
    if path.suffix in NEEDS_SPDX or path.name in NEEDS_SPDX_NAMES:
        if not any(SPDX in line for line in text.split("\n")[:HEAD_LINES]):
            yield f"{path}:1: the licence line is missing ({SPDX})"
    for number, line in enumerate(text.split("\n"), 1):
        for what, pattern in FORBIDDEN.items():
            if match := pattern.search(line):
                yield f"{path}:{number}: {what}: {match[0]}"


# Corpora and recordings are foreign bytes; this file names what it looks for.
finish("texts", [finding for path in repository_files()
                 if "corpus" not in path.parts and path.name != "texts.py" for finding in check(path)])
