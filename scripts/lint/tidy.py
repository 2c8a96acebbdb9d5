# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over src/, as many files at a time as there are cores. A file that was clean is checked again
only when it, a header it includes, its flags or .clang-tidy changed: build/lint/tidy/ remembers their hash."""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys

from sources import ROOT

BUILD = ROOT / "build/lint"
CACHE = BUILD / "tidy"
LOG = BUILD / "tidy.log"
VERSION = subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout


def dependencies(entry):
    """The file and all headers that it includes, as its compiler sees them."""
    command = [word for word in shlex.split(entry["command"]) if word not in ("-c", "-MD")]
    command = command[:command.index("-o")] + command[command.index("-o") + 2:] if "-o" in command else command
    made = subprocess.run(command + ["-MM"], cwd=entry["directory"], capture_output=True, text=True)
    return made.stdout.replace("\\\n", " ").split()[1:] or [entry["file"]]


def fingerprint(entry):
    digest = hashlib.sha256(VERSION + (ROOT / ".clang-tidy").read_bytes() + entry["command"].encode())
    for path in dependencies(entry):
        path = pathlib.Path(entry["directory"], path)
        digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()


def check(entry):
    """Empty if the file is clean, else the findings, one a line; how each comes about is in LOG."""
    name = pathlib.Path(entry["file"]).relative_to(ROOT)
    stamp = CACHE / (str(name).replace("/", "__") + ".clean")
    now = fingerprint(entry)
    if stamp.exists() and stamp.read_text() == now:
        return ""
    command = ["clang-tidy", "--quiet", "-p", str(BUILD), entry["file"]]
    if name.suffix == ".cpp":  # g++ takes C++17 for granted, clang does not
        command.append("--extra-arg-before=-std=gnu++17")
    tidy = subprocess.run(command, capture_output=True, text=True)
    if tidy.returncode == 0 and "warning:" not in tidy.stdout:
        stamp.write_text(now)
        return ""
    with open(LOG, "a") as log:
        log.write(tidy.stdout or tidy.stderr)
    findings = [line for line in tidy.stdout.splitlines() if ": error: " in line or ": warning: " in line]
    return "\n".join(findings).replace(str(ROOT) + "/", "") or f"{name}: clang-tidy failed; see {LOG.relative_to(ROOT)}"


def main():
    CACHE.mkdir(parents=True, exist_ok=True)
    LOG.unlink(missing_ok=True)
    entries = [e for e in json.loads((BUILD / "compile_commands.json").read_text())
               if pathlib.Path(e["file"]).is_relative_to(ROOT / "src")]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        findings = [text for text in pool.map(check, entries) if text]
    for finding in sorted(set("\n".join(findings).split("\n")) - {""}):
        print("tidy: " + finding)
    if findings:
        print(f"tidy: how each comes about is in {LOG.relative_to(ROOT)}")
    sys.exit(1 if findings else 0)


main()
