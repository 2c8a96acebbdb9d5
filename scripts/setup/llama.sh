# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# llama.cpp, one pinned release: headers from its source bundle; libraries prebuilt, or built from that same
# source where none are offered, where they do not load, or with DARKBLOOM_LLAMA_BUILD=1.

readonly LLAMA=$DEPS/llama
readonly LLAMA_SOURCE_FILE=node-llama-cpp-$LLAMA_NPM_VERSION.tgz
# Of each build from that source: what it makes can be moved as a whole, and nothing is fetched.
readonly LLAMA_FLAGS=(-DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON
	-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON "-DCMAKE_INSTALL_RPATH=\$ORIGIN"
	-DLLAMA_BUILD_COMMON=ON -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF
	-DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF)

llama_platform() {
	case "$(uname -s)-$(uname -m)" in
	Linux-x86_64) printf linux-x64 ;;
	Linux-aarch64) printf linux-arm64 ;;
	esac
}

llama_key() {
	if [ "${DARKBLOOM_LLAMA_BUILD:-0}" = 1 ]; then
		printf '%s source' "$LLAMA_NPM_VERSION"
	else
		printf '%s %s' "$LLAMA_NPM_VERSION" "$(llama_platform)"
	fi
}

llama_done() {
	stamp_valid llama "$(llama_key)"
}

llama() {
	local platform partial=$LLAMA.partial
	llama_done && return
	platform=$(llama_platform)
	begin llama "fetching llama.cpp (npm package node-llama-cpp $LLAMA_NPM_VERSION)"
	download_npm "node-llama-cpp@$LLAMA_NPM_VERSION" "$LLAMA_SOURCE_FILE" "$LLAMA_SOURCE_SUM"
	rm -rf "$partial"
	mkdir -p "$partial/include" "$partial/lib"
	llama_source "$partial/source"
	llama_headers "$partial/source" "$partial/include"
	if [ -z "$platform" ] || [ "${DARKBLOOM_LLAMA_BUILD:-0}" = 1 ] || ! llama_prebuilt "$platform" "$partial/lib"; then
		llama_build "$partial/source" "$partial/lib"
	fi
	rm -rf "$partial/source" "$LLAMA"
	mv "$partial" "$LLAMA"
	stamp_write llama "$(llama_key)" llama
	rm -f "$DOWNLOADS"/*node-llama-cpp*
}

llama_source() { # TARGET
	local beside
	beside=$(dirname "$1")
	tar -xzf "$DOWNLOADS/$LLAMA_SOURCE_FILE" -C "$beside" package/llama/gitRelease.bundle
	logged git clone --no-checkout "$beside/package/llama/gitRelease.bundle" "$1" ||
		die "could not unpack the source of llama.cpp; see deps/setup.log"
	[ "$(git -C "$1" rev-parse HEAD)" = "$LLAMA_COMMIT" ] ||
		die "the source of llama.cpp is not the pinned commit; correct scripts/setup/pins.sh"
	rm -r "$beside/package"
}

# The C API lies flat; the C++ template shim also needs the trees of common/ and vendor/.
llama_headers() { # SOURCE TARGET
	git -C "$1" archive HEAD include ggml/include | tar -x -C "$2" --strip-components=1 --wildcards 'include/*.h'
	git -C "$1" archive HEAD ggml/include | tar -x -C "$2" --strip-components=2
	git -C "$1" archive HEAD common vendor | tar -x -C "$2" --wildcards '*.h' '*.hpp'
}

# Fails where the libraries cannot be had, or do not load here, e.g. for want of a newer libc.
llama_prebuilt() { # PLATFORM TARGET
	local file=node-llama-cpp-$1-$LLAMA_NPM_VERSION.tgz
	if ! (download_npm "@node-llama-cpp/$1@$LLAMA_NPM_VERSION" "$file" "${LLAMA_LIBS_SUM[$1]}"); then
		say "setup: going on without the prebuilt llama.cpp"
		return 1
	fi
	tar -xzf "$DOWNLOADS/$file" -C "$2" --strip-components=3 --wildcards 'package/bins/*.so'
	logged python3 -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$2/libllama-common.so" && return
	say "setup: the prebuilt llama.cpp does not load on this machine"
	rm -f "$2"/*.so
	return 1
}

# The same parts as the prebuilt release: no OpenMP (the scheduler brings its own threads), no network.
llama_build() { # SOURCE TARGET
	say "setup: building llama.cpp from source (about five minutes on two cores)"
	git -C "$1" checkout --quiet HEAD
	logged cmake -S "$1" -B "$1/build" -G Ninja "${LLAMA_FLAGS[@]}" \
		-DGGML_OPENMP=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF ||
		die "could not configure llama.cpp; see deps/setup.log"
	logged cmake --build "$1/build" ||
		die "could not build llama.cpp from source; see deps/setup.log"
	cp -a "$1"/build/bin/*.so* "$2"
}
