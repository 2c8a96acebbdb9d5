# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The system packages: one list, and the installing of those that are missing.

# group (a command's, or a step's that has something to fetch), how to see that the machine has it already,
# Debian package.
readonly PACKAGES='
build   compiler:CC          gcc
build   compiler:CXX         g++
build   cmd:cmake            cmake
build   cmd:ninja            ninja-build
build   cmd:pkg-config       pkg-config
build   lib:libuv            libuv1-dev
build   lib:libsodium        libsodium-dev
build   lib:libssl           libssl-dev
build   lib:libseccomp       libseccomp-dev
build   lib:sqlite3          libsqlite3-dev
build   lib:tomlplusplus     libtomlplusplus-dev
next_debian next:yyjson      libyyjson-dev
next_debian next:libllhttp   libllhttp-dev
llama   cmd:git              git
llama   cmd:npm              npm
llama   cmd:python3          python3
peers   cmd:git              git
peers   cmd:npm              npm
model   cmd:python3          python3
model   py:pip               python3-pip
run     cmd:python3          python3
run     cmd:curl             curl
bench   cmd:valgrind         valgrind
test    lib:cmocka           libcmocka-dev
test    cmd:node             nodejs
clients cmd:npm              npm
clients py:ensurepip         python3-venv
lint    cmd:clang-format     clang-format
lint    cmd:clang-tidy       clang-tidy
lint    cmd:cppcheck         cppcheck
lint    cmd:shellcheck       shellcheck
lint    cmd:python3          python3
format  cmd:clang-format     clang-format
fuzz    cmd:clang            clang
fuzz    cmd:clang++          clang
fuzz    clang:fuzzer         libclang-rt-dev
'

on_bookworm() {
	[ "$(. /etc/os-release 2>/dev/null && printf '%s' "${VERSION_CODENAME:-}")" = bookworm ]
}

present() { # CHECK
	local name=${1#*:}
	case $1 in
	cmd:*) have "$name" ;;
	compiler:CC) have "${CC:-cc}" ;;
	compiler:CXX) have "${CXX:-c++}" ;;
	lib:*) have pkg-config && pkg-config --exists "$name" ;;
	next:*) on_bookworm || present "lib:$name" ;; # bookworm has none to install: next_debian.sh
	py:*) have python3 && python3 -c "import $name" 2>/dev/null ;;
	clang:*) have clang && [ -e "$(clang -print-file-name="libclang_rt.$name-$(uname -m).a")" ] ;;
	esac
}

missing_packages() { # GROUP...
	local group check package
	while read -r group check package; do
		[[ " $* " == *" $group "* ]] || continue
		present "$check" || printf '%s\n' "$package"
	done <<<"$PACKAGES" | sort -u
}

# As root, or through sudo where that works without asking or where there is somebody to ask.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		logged "$@"
	else
		logged sudo "$@"
	fi
}

can_be_root() {
	[ "$(id -u)" = 0 ] || { have sudo && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; }
}

install_packages() { # PACKAGE...
	local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120)
	[ $# -gt 0 ] || return 0
	have apt-get || die "missing: $*; these are Debian's names: install what your system calls them and run the command again"
	can_be_root || die "system packages are missing and there is no root or sudo here; have this run as root, then run the command again:
    apt-get update && apt-get install -y --no-install-recommends $*"
	say "setup: installing with apt: $*"
	as_root "${apt[@]}" update ||
		say "setup: 'apt-get update' had errors; going on with what it has (details: deps/setup.log)"
	as_root "${apt[@]}" install -y --no-install-recommends "$@" && return
	[[ $(tail -n 20 "$SETUP_LOG") != *'dpkg --configure -a'* ]] ||
		die "an earlier installation on this machine was interrupted; run 'dpkg --configure -a' as root, then the command again"
	die "apt-get could not install $*; check the network and /etc/apt, then run the command again (details: deps/setup.log)"
}

ensure_packages() { # GROUP...
	local missing
	missing=$(missing_packages "$@")
	[ -n "$missing" ] || return 0
	# shellcheck disable=SC2086 # a list of words
	install_packages $missing
	missing=$(missing_packages "$@")
	[ -z "$missing" ] ||
		die "still missing after their installation: ${missing//$'\n'/ }; another version earlier in PATH or PKG_CONFIG_PATH may hide them, or CC or CXX name a compiler that is not there"
}
