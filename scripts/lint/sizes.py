# SPDX-License-Identifier: Apache-2.0
"""Functions fit a screen and files a few; what is longer stands in allowed.txt with its reason."""
import re

from sources import allowed, c_files, code_only, finish, read

MAX_FUNCTION_LINES = 50
MAX_FILE_LINES = {"src": 450, "tests": 600}
NAME = re.compile(r"([A-Za-z_]\w*)\s*\(")


def functions(text):
    """(name, first line, lines) of each function: our format puts its braces into the first column."""
    lines = code_only(text).split("\n")
    for start, line in enumerate(lines):
        if line != "{" or start == 0:
            continue
        end = next((i for i in range(start, len(lines)) if lines[i] == "}"), start)
        head = start
        while head > 0 and lines[head - 1].strip() and lines[head - 1] not in ("}", "};"):
            head -= 1
        name = NAME.search("\n".join(lines[head:start]))
        yield (name[1] if name else "?"), start + 1, end - start + 1


def check(path, exceptions):
    text = read(path)
    length = text.count("\n")
    limit = MAX_FILE_LINES[str(path).split("/")[0]]
    if length > limit and str(path) not in exceptions:
        yield f"{path}: {length} lines, at most {limit}; split it by concept"
    for name, line, lines in functions(text):
        if lines > MAX_FUNCTION_LINES and f"{path}:{name}" not in exceptions:
            yield f"{path}:{line}: {name} has {lines} lines, at most {MAX_FUNCTION_LINES}"


exceptions = allowed("sizes")
finish("sizes", [finding for path in c_files("src", "tests") for finding in check(path, exceptions)])
