# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The clients that the tests use: OpenAI's SDKs for Python (deps/venv) and Node (deps/node), pytest, PyNaCl.
# What they are is in clients/requirements.txt and clients/package.json.

readonly CLIENTS=$ROOT/scripts/setup/clients

clients_key() {
	cat "$CLIENTS"/* | sha256sum | cut -d' ' -f1
	printf '%s' "$ROOT" # a virtual environment cannot be moved
}

clients_done() {
	stamp_valid clients "$(clients_key | tr '\n' ' ')" && [ -x "$DEPS/venv/bin/python" ]
}

clients() {
	clients_done && return
	begin clients "installing the test clients (Python and Node) into deps/"
	rm -rf "$DEPS/venv" "$DEPS/node"
	logged python3 -m venv "$DEPS/venv" ||
		die "could not make a Python environment in deps/venv; see deps/setup.log"
	logged "$DEPS/venv/bin/python" -m pip install --no-cache-dir --only-binary :all: \
		-r "$CLIENTS/requirements.txt" ||
		die "could not install the Python test clients from PyPI; check the network and run the command again (details: deps/setup.log)"
	mkdir -p "$DEPS/node"
	cp "$CLIENTS/package.json" "$DEPS/node/"
	logged npm install --prefix "$DEPS/node" --ignore-scripts --no-package-lock --no-audit --no-fund \
		--cache "$DEPS/node/.cache" ||
		die "could not install the Node test client from npm; check the network and run the command again (details: deps/setup.log)"
	rm -rf "$DEPS/node/.cache"
	stamp_write clients "$(clients_key | tr '\n' ' ')" venv/pyvenv.cfg venv/lib node/node_modules
}
