# SPDX-License-Identifier: Apache-2.0
# The commands of this repository. Each fetches what it lacks, into deps/, and builds into build/.
.PHONY: help run test bench hostile lint format fuzz docs clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

run: ## build, start coordinator and provider, send one request (ONCE=1: then stop; PORT=8081: another port)
	@scripts/run.sh

test: ## all tests under ASan and UBSan, the threaded ones under TSan, end to end with the real model
	@scripts/test.sh

bench: ## latency, throughput, relay and batching beside their budgets (PEERS=1: beside llama-server)
	@scripts/bench.sh

hostile: ## 500 hostile sockets beside one stream: memory and delay against the quiet part of the same run
	@scripts/hostile.sh

lint: ## format, includes, banned functions, sizes, clang-tidy, cppcheck, shellcheck
	@scripts/lint.sh

format: ## let clang-format rewrite the sources
	@scripts/format.sh

fuzz: ## run every fuzz target for FUZZ_SECONDS (600)
	@scripts/fuzz.sh

docs: ## messages, settings, errors and log events as pages, from their tables, into build/docs
	@scripts/docs.sh

clean: ## remove what the compiler made (deps/ and run/ stay)
	rm -rf build
