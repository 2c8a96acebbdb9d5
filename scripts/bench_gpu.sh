#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The product beside llama-server on one NVIDIA GPU, on a machine with CUDA's compiler, gcc and cmake and without a
# network:
#   scripts/bench_gpu.sh pack     here: programs, their libraries and llama.cpp's source into build/dev (under 64 MiB)
#   scripts/bench_gpu.sh build    there: llama.cpp with CUDA and the models, into /tmp/darkbloom-gpu; goes on where it
#                                 was interrupted
#   scripts/bench_gpu.sh bench    there: the section `peers` at 1, 4, 16 and 64 streams, for each model
# MODELS="llama-8b:q4_0 llama-1b:q8_0" names other shapes and types (tests/models); the PEERS_… variables of the section
# are passed on.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

# The programs look here for the library, wherever they were built.
readonly AT=/tmp/darkbloom-gpu
readonly DEV=$ROOT/build/dev
models=${MODELS:-llama-8b:q4_0 llama-1b:q8_0}

# --- here ---

pack_source() { # TARGET
	. "$ROOT/scripts/lib/stamp.sh"
	. "$ROOT/scripts/setup/pins.sh"
	. "$ROOT/scripts/setup/download.sh"
	. "$ROOT/scripts/setup/llama.sh"
	local work
	work=$(mktemp -d)
	download_npm "node-llama-cpp@$LLAMA_NPM_VERSION" "$LLAMA_SOURCE_FILE" "$LLAMA_SOURCE_SUM"
	llama_source "$work/source"
	git -C "$work/source" archive HEAD CMakeLists.txt LICENSE cmake common ggml include licenses src tools vendor |
		xz -6 -T0 >"$1"
	rm -rf "$work" "${DOWNLOADS:?}/$LLAMA_SOURCE_FILE"
}

# All that the programs load but the C and C++ libraries, which are the machine's, and llama.cpp, which is built there.
pack_libraries() { # TARGET PROGRAM...
	local target=$1
	shift
	ldd "$@" | grep -o '/[^ ]*\.so[^ ]*' | sort -u |
		grep -vE '/(lib(c|m|stdc\+\+|gcc_s|dl|rt|pthread|ggml|llama)[.-]|ld-linux)' | xargs -I{} cp -L {} "$target/"
}

pack() {
	local build=$ROOT/build/gpu programs=(darkbloom darkbloom-engine darkbloom-coordinator darkbloom-bench)
	mkdir -p "$AT/lib" "$DEV/lib"
	cp -a "$DEPS/llama/lib/." "$AT/lib/"
	say "bench_gpu: compiling the programs (details: build/gpu.log)"
	# RPATH, which libraries of libraries follow too.
	(cd "$ROOT" && cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release "-DLLAMA_LIB_DIR=$AT/lib" \
		-DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags && cmake --build "$build" --target "${programs[@]}") \
		>"$build.log" 2>&1 || die "could not compile; see build/gpu.log"
	rm -rf "$DEV"
	mkdir -p "$DEV/lib" "$DEV/models"
	(cd "$build" && cp "${programs[@]}" "$DEV/" && pack_libraries "$DEV/lib" "${programs[@]}")
	cp "$ROOT"/tests/models/*.[ch] "$DEV/models/"
	(cd "$AT/lib" && ls lib*.so) >"$DEV/names"
	rm -rf "${AT:?}"
	pack_source "$DEV/llama.tar.xz"
	say "bench_gpu: build/dev is complete ($(du -sh "$DEV" | cut -f1)); carry it, and run build and bench there"
}

# --- there ---

build_llama() {
	local make=() nvcc
	nvcc=$(command -v nvcc || printf /usr/local/cuda/bin/nvcc)
	[ -x "$nvcc" ] || die "there is no nvcc; this needs CUDA's compiler"
	have ninja && make=(-G Ninja)
	mkdir -p "$AT/source"
	[ -f "$AT/source/CMakeLists.txt" ] || tar -xJf "$DEV/llama.tar.xz" -C "$AT/source"
	[ -f "$AT/build/CMakeCache.txt" ] || cmake -S "$AT/source" -B "$AT/build" "${make[@]}" \
		-DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=ON \
		-DGGML_CUDA=ON "-DCMAKE_CUDA_COMPILER=$nvcc" -DCMAKE_CUDA_ARCHITECTURES=native \
		-DLLAMA_BUILD_COMMON=ON -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF \
		-DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF
	cmake --build "$AT/build" -j "$(nproc)" --target llama-server llama-batched-bench
}

# The programs ask for the names of the prebuilt release: libllama.v0.5.0.so is here libllama.so.
link_libraries() {
	local name
	rm -rf "${AT:?}/lib"
	mkdir -p "$AT/lib"
	cp -a "$AT"/build/bin/*.so* "$DEV"/lib/* "$AT/lib/"
	while read -r name; do
		[ -e "$AT/lib/$name" ] || [[ $name == libggml-cpu-* ]] || ln -s "${name%%.*}.so" "$AT/lib/$name"
	done <"$DEV/names"
}

model_file() { # SHAPE:TYPE
	printf '%s/models/%s.gguf' "$AT" "${1/:/-}"
}

make_models() {
	local model
	mkdir -p "$AT/models"
	gcc -O3 -march=native -D_GNU_SOURCE -I"$AT/source/ggml/include" "$DEV"/models/*.c -o "$AT/make-model" \
		"$AT/lib/libggml-base.so" -Wl,-rpath,"$AT/lib" -lm
	for model in $models; do
		[ -f "$(model_file "$model")" ] && continue
		"$AT/make-model" "${model%:*}" "${model#*:}" "$(model_file "$model").partial"
		mv "$(model_file "$model").partial" "$(model_file "$model")"
	done
}

build() {
	[ -f "$DEV/llama.tar.xz" ] || die "build/dev is missing; run scripts/bench_gpu.sh pack where the sources are, and carry it"
	build_llama
	link_libraries
	make_models
	ls -l "$AT/models"
}

bench() {
	local model
	nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
	export TMPDIR=$AT/run PEERS_SERVER=$AT/build/bin/llama-server PEERS_STREAMS=${PEERS_STREAMS:-1 4 16 64}
	mkdir -p "$TMPDIR"
	for model in $models; do
		"$DEV/darkbloom-bench" "$DEV/darkbloom-coordinator" "$(model_file "$model")" peers
	done
}

case ${1:-} in
pack | build | bench) "$1" ;;
*) die "usage: scripts/bench_gpu.sh pack | build | bench" ;;
esac
