# SPDX-License-Identifier: Apache-2.0
"""The two programs as processes: started on free ports in a directory of their own, waited for by what
they log, always ended."""

import os
import pathlib
import re
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("DARKBLOOM_BUILD_DIR", ROOT / "build" / "asan"))
MODEL = ROOT / "deps" / "model" / "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_ID = "smollm2-135m-instruct"
DEADLINE_S = 60


def wait_until(condition, what, deadline_s=DEADLINE_S):
    """Poll a condition that another process brings about; its truth value is returned."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"within {deadline_s} s: {what}")


class Program:
    def __init__(self, args, log):
        self.log = pathlib.Path(log)
        self.args = [str(a) for a in args]
        self.process = None
        self.seen_from = 0

    def start(self):
        self.seen_from = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(self.args, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def text(self):
        """What it has logged since its last start."""
        with open(self.log, "rb") as f:
            f.seek(self.seen_from)
            return f.read().decode(errors="replace")

    def wait_for_log(self, pattern, deadline_s=DEADLINE_S):
        def look():
            found = re.search(pattern, self.text())
            if not found and self.process.poll() is not None:
                raise AssertionError(f"{self.args[0]} ended with {self.process.returncode}:\n{self.text()}")
            return found

        return wait_until(look, f"{pattern!r} in {self.log}", deadline_s)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """End it in an orderly way; the exit status also tells of sanitizer findings."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"{self.args[0]} did not stop:\n{self.text()[-3000:]}") from None
            assert self.process.returncode == 0, self.text()[-6000:]


class Coordinator(Program):
    def __init__(self, directory, *flags):
        self.dir = pathlib.Path(directory)
        self.store = self.dir / "store.db"
        self.port = 0
        self.flags = [str(f) for f in flags]
        super().__init__([], self.dir / "coordinator.log")

    def start(self):
        self.args = [str(BUILD / "darkbloom-coordinator"), "--store", str(self.store), "--port",
                     str(self.port), "--min-stream-tps", "0", *self.flags]  # this machine may be slower than that
        super().start()
        self.port = int(self.wait_for_log(r"event=started .*?port=(\d+)").group(1))
        return self

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def command(self, *words, check=True):
        done = subprocess.run([str(BUILD / "darkbloom-coordinator"), "--store", str(self.store), *words],
                              capture_output=True, text=True, timeout=60)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def make_key(self, account="tester", credit="5"):
        return self.command("key", "create", account, "--credit", credit).stdout.strip().splitlines()[-1]

    def ledger_is_balanced(self):
        """The ledger's own check holds and no hold is open."""
        report = self.command("ledger", "check").stdout
        assert re.search(r"^open holds\s+0$", report, re.M), report
        return report

    def wait_until_settled(self):
        wait_until(lambda: re.search(r"^open holds\s+0$", self.command("ledger", "check").stdout, re.M),
                   "every hold is settled")
        return self.ledger_is_balanced()


class Provider(Program):
    def __init__(self, directory, port, *extra, ca_file=None):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(exist_ok=True)
        self.config = self.dir / "provider.toml"
        self.config.write_text(
            f'[coordinator]\nurl = "{"wss" if ca_file else "ws"}://127.0.0.1:{port}/ws/provider"\n'
            + (f'ca_file = "{ca_file}"\n' if ca_file else "") +
            f'[model]\npath = "{MODEL}"\nid = "{MODEL_ID}"\n'
            f'[identity]\nkey_path = "{self.dir / "identity.pem"}"\n' + "\n".join(extra) + "\n")
        super().__init__([BUILD / "darkbloom", "serve", "--config", self.config], self.dir / "provider.log")

    def start(self, ready=r"event=challenge_answered"):
        super().start()
        self.wait_for_log(ready)
        return self

    def counters(self):
        """The newest forward passes and completion tokens that it logged when idle."""
        lines = re.findall(r"event=engine_idle forward_passes=(\d+) completion_tokens=(\d+)", self.text())
        return tuple(map(int, lines[-1])) if lines else (0, 0)
