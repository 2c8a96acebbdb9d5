# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# yyjson and llhttp. Debian 13 ships them; on Debian 12 its four packages are fetched with an apt of our own
# (own lists, own cache, the machine's source with the suite's name replaced) and unpacked into deps/debian.
# They need only libc, so nothing else comes along; the user's apt is left alone. Elsewhere they are among the
# system packages (packages.sh).

readonly NEXT_PACKAGES=(libyyjson-dev libyyjson0 libllhttp-dev libllhttp9.2)
readonly APT_HOME=$DEPS/apt

next_debian_done() {
	present lib:yyjson && present lib:libllhttp && return
	stamp_valid debian "${NEXT_PACKAGES[*]}"
}

next_debian() {
	next_debian_done && return
	begin debian "fetching yyjson and llhttp (Debian 13's packages)"
	own_apt_configure bookworm trixie
	logged own_apt update || true # one broken source among several is no reason to stop
	rm -rf "$APT_HOME/debs" "$DEPS/debian.partial"
	mkdir -p "$APT_HOME/debs" "$DEPS/debian.partial"
	(cd "$APT_HOME/debs" && logged own_apt download "${NEXT_PACKAGES[@]}") ||
		die "could not fetch ${NEXT_PACKAGES[*]} from Debian 13; check the network (and that debian-archive-keyring" \
			"is up to date), then run the command again (details: deps/setup.log)"
	local deb
	for deb in "$APT_HOME"/debs/*.deb; do
		dpkg-deb -x "$deb" "$DEPS/debian.partial"
	done
	rm -rf "$DEPS/debian"
	mv "$DEPS/debian.partial" "$DEPS/debian"
	rm -rf "$APT_HOME"
	stamp_write debian "${NEXT_PACKAGES[*]}" debian/usr/include debian/usr/lib
}

own_apt() {
	apt-get -c "$APT_HOME/apt.conf" "$@"
}

# Hooks of the machine's apt are not ours to run; its proxy and certificate settings stay in force.
own_apt_configure() { # THIS_SUITE NEXT_SUITE
	rm -rf "$APT_HOME"
	mkdir -p "$APT_HOME"/{state/lists/partial,cache/archives/partial,sources.list.d}
	cat >"$APT_HOME/apt.conf" <<-END
		#clear APT::Update;
		#clear DPkg;
		Dir::State "$APT_HOME/state";
		Dir::Cache "$APT_HOME/cache";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
		APT::Sandbox::User "";
		APT::Get::AllowUnauthenticated "false";
		Acquire::AllowInsecureRepositories "false";
		Acquire::Languages "none";
	END
	# Where this machine gets its own release from; its lists may be gone (an image cleaned of them).
	local targets
	targets=$(debian_sources "$1" apt-get)
	if [ -z "$targets" ]; then
		logged own_apt update || true
		targets=$(debian_sources "$1" own_apt)
	fi
	[ -n "$targets" ] ||
		die "found no source of Debian's $1 main packages in /etc/apt; add one and run the command again"
	local uri entry
	while read -r uri entry; do
		next_source "$uri" "$2" "${entry%:*}" "${entry##*:}"
	done <<<"$targets"
	cat >>"$APT_HOME/apt.conf" <<-END
		Dir::Etc::sourcelist "/dev/null";
		Dir::Etc::sourceparts "$APT_HOME/sources.list.d";
	END
}

# "URI FILE:N" of each source of the suite's main packages.
debian_sources() { # SUITE APT
	# shellcheck disable=SC2016 # the names are apt's
	"$2" indextargets --format '$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI) $(SOURCESENTRY)' \
		'Created-By: Packages' 2>/dev/null |
		awk -v suite="$1" '$1 == "Debian" && $2 == suite && $3 == "main" { print $4, $5 }' | sort -u
}

# A source of the suite with the keys of the machine's own entry: line N of a one-line list, or stanza N of a
# deb822 file, in which comments do not count.
next_source() { # URI SUITE FILE N
	local keys target=$APT_HOME/sources.list.d/next
	if [[ $3 == *.sources ]]; then
		keys=$(grep -v '^#' "$3" | awk -v RS= -v n="$4" 'NR == n' |
			awk '/^[^ \t]/ { keep = tolower($0) ~ /^(signed-by|trusted):/ } keep')
		printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n%s\n\n' "$1" "$2" "$keys" >>"$target.sources"
	else
		keys=$(sed -n "$4p" "$3" | { grep -oiE '(signed-by|trusted)=[^] ]+' || true; } | tr '\n' ' ')
		printf 'deb %s%s %s main\n' "${keys:+[ $keys] }" "$1" "$2" >>"$target.list"
	fi
}
