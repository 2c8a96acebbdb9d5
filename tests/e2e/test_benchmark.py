# SPDX-License-Identifier: Apache-2.0
"""`darkbloom benchmark` over the real model: every figure is there and above nothing, no row stopped the others, and
what was not built for release says so. How much each figure is depends on the machine: nothing here looks at it."""
import json
import subprocess

from support.programs import BUILD, MODEL


def benchmark(*args):
    return subprocess.run([BUILD / "darkbloom", "benchmark", *args], capture_output=True, text=True, timeout=600)


def test_all_figures_as_json():
    done = benchmark("--json", "--model", str(MODEL), "--slots", "2", "--context", "512")
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert got["slots"] == 2 and got["context_tokens"] == 512
    assert got["quantization"] == "Q4_1"
    assert got["warm_first_s"] > 0
    for cold in got["cold"]:
        assert cold["load_first_s"] > cold["load_s"] > 0
    assert len(got["cold"]) == 2
    sealed = got["sealed"]
    assert 0 < sealed["seal_us"] < 1000 and 0 < sealed["open_us"] < 1000  # I08: under a millisecond together
    assert [row["rows"] for row in got["decode"]] == [1, 2]
    for row in got["decode"]:
        assert row["steady_tokens_per_s"] > 0 and row["whole_tokens_per_s"] > 0
        assert row["first_most_s"] >= row["first_least_s"] > 0
    assert [round(p["prompt_tokens"], -1) for p in got["prefill"]] == [130]  # of 128, 1,024, 4,096 what fits
    assert got["prefill"][0]["tokens_per_s"] > 0
    assert got["beside"]["worst_gap_s"] > 0 and got["beside"]["first_s"] > 0
    assert 0 < got["shortest_answer_tokens"] <= got["answer_tokens"] == 256
    assert all(line.startswith("[perf] ") for line in done.stderr.splitlines()), done.stderr
    assert (got["build"] == "release") != ("say nothing about a release build" in done.stderr)


def test_what_it_cannot_measure_is_a_sentence():
    nothing = benchmark()
    assert nothing.returncode == 2 and "--model" in nothing.stderr
    gone = benchmark("--model", "/nowhere.gguf")
    assert gone.returncode == 1 and "/nowhere.gguf" in gone.stderr
    more = benchmark("--model", "/nowhere.gguf", "more")
    assert more.returncode == 2 and '"more"' in more.stderr
