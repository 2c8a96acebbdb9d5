#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Brings what a command needs: setup.sh run | test | bench | peers | hostile | lint | format | fuzz | docs. What is there is left alone.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for part in lib/common lib/stamp setup/pins setup/packages setup/download setup/next_debian setup/llama \
	setup/model setup/peers setup/clients; do
	# shellcheck source=/dev/null
	. "$here/$part.sh"
done

# What a command needs: groups of system packages, and the steps that fill deps/.
declare -A GROUPS_OF=(
	[run]='build run' [bench]='build run bench' [peers]='build run bench' [hostile]='build run' [test]='build run test'
	[lint]='build lint' [format]='format' [fuzz]='build fuzz' [docs]='build'
)
declare -A STEPS_OF=(
	[run]='next_debian llama model' [bench]='next_debian llama model' [peers]='next_debian llama model peers'
	[hostile]='next_debian llama clients' [test]='next_debian llama model clients'
	[lint]='next_debian llama' [format]='' [fuzz]='next_debian llama' [docs]='next_debian llama'
)

command=${1:-}
[ -n "${GROUPS_OF[$command]+set}" ] || die "usage: scripts/setup.sh run | test | bench | peers | hostile | lint | format | fuzz | docs"

mkdir -p "$DEPS"
exec 9>"$DEPS/.lock"
flock 9 # two commands at once take turns
[ -f "$SETUP_LOG" ] || : >"$SETUP_LOG"

# A step's own packages, the registries' clients, are asked for only while it has something to fetch.
groups=${GROUPS_OF[$command]}
for step in ${STEPS_OF[$command]}; do
	"${step}_done" 2>/dev/null || groups+=" $step"
done
# shellcheck disable=SC2086 # a list of words
ensure_packages $groups
for step in ${STEPS_OF[$command]}; do
	"$step"
done
