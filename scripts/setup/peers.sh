# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What we compare with: llama-server and llama-batched-bench of the pinned llama.cpp, built from its source for
# this processor, and for the GPU where CUDA's compiler is here. Only for `make bench PEERS=1`.

readonly PEERS=$DEPS/peers

peers_nvcc() {
	command -v nvcc || { [ -x /usr/local/cuda/bin/nvcc ] && printf /usr/local/cuda/bin/nvcc; }
}

# A program that was built for one processor may not run on another.
peers_key() {
	local flags
	flags=$(grep -m 1 -E '^(flags|Features)' /proc/cpuinfo | sha256sum | cut -c 1-16)
	printf '%s %s %s' "$LLAMA_NPM_VERSION" "$flags" "$(peers_nvcc >/dev/null && printf cuda || printf cpu)"
}

peers_done() {
	stamp_valid peers "$(peers_key)"
}

peers() {
	local partial=$PEERS.partial
	peers_done && return
	begin peers "fetching the source of llama.cpp (npm package node-llama-cpp $LLAMA_NPM_VERSION)"
	download_npm "node-llama-cpp@$LLAMA_NPM_VERSION" "$LLAMA_SOURCE_FILE" "$LLAMA_SOURCE_SUM"
	rm -rf "$partial"
	mkdir -p "$partial/bin"
	llama_source "$partial/source"
	peers_build "$partial/source" "$partial/bin"
	rm -rf "$partial/source" "$PEERS"
	mv "$partial" "$PEERS"
	stamp_write peers "$(peers_key)" peers
	rm -f "$DOWNLOADS/$LLAMA_SOURCE_FILE"
}

peers_build() { # SOURCE TARGET
	local cuda=() nvcc
	if nvcc=$(peers_nvcc); then
		cuda=(-DGGML_CUDA=ON "-DCMAKE_CUDA_COMPILER=$nvcc" -DCMAKE_CUDA_ARCHITECTURES=native)
	fi
	# gcc before 13 leaves half of what it loads into a processor's tiles unwritten: without these passes it does not.
	# What it built with them ended by SIGILL at its first pass on a Xeon with AMX.
	local exact=
	if grep -qw amx_tile /proc/cpuinfo && [ "$(c++ -dumpversion | cut -d. -f1)" -lt 13 ] && ! c++ --version | grep -q clang; then
		exact='-fno-tree-dse -fno-dse'
	fi
	say "setup: building llama-server for this machine (about ten minutes on two cores)"
	git -C "$1" checkout --quiet HEAD
	logged cmake -S "$1" -B "$1/build" -G Ninja "${LLAMA_FLAGS[@]}" -DGGML_NATIVE=ON \
		"-DCMAKE_CXX_FLAGS=$exact" "${cuda[@]}" ||
		die "could not configure llama-server; see deps/setup.log"
	logged cmake --build "$1/build" --target llama-server llama-batched-bench ||
		die "could not build llama-server; see deps/setup.log"
	cp -a "$1"/build/bin/*.so* "$1"/build/bin/llama-server "$1"/build/bin/llama-batched-bench "$2"
}
