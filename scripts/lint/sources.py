# SPDX-License-Identifier: Apache-2.0
"""What the checks of make lint share: the repository's files, a C source without its comments and strings,
the list of allowed exceptions, and how a finding is told."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ALLOWED = ROOT / "scripts/lint/allowed.txt"

COMMENT_OR_STRING = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)


def repository_files():
    """All files that git tracks or would track, relative to ROOT."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return sorted(pathlib.Path(p) for p in set(listed.split("\0")) if p and (ROOT / p).is_file())


def c_files(*tops):
    return [p for p in repository_files() if p.parts[0] in tops and p.suffix in (".c", ".h", ".cpp", ".hpp")]


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def code_only(text):
    """The text with comments and the insides of strings blanked, line numbers and columns kept."""
    def blank(match):
        quote = match[0][0] if match[0][0] in "\"'" else " "
        body = re.sub(r"[^\n]", " ", match[0])
        return body if quote == " " else quote + body[1:-1] + quote
    return COMMENT_OR_STRING.sub(blank, text)


def allowed(check):
    """Exceptions of a check, from allowed.txt: {thing: reason}."""
    found = {}
    for line in ALLOWED.read_text().splitlines():
        fields = line.split(None, 2)
        if fields and not line.startswith("#") and fields[0] == check:
            found[fields[1]] = fields[2]  # without a reason this fails, as it should
    return found


def finish(check, findings):
    for finding in findings:
        print(f"{check}: {finding}")
    sys.exit(1 if findings else 0)
