# The README's two commands are `make demo` and `make test`. Both look first for what is missing.
#
# Everything is built in the one release profile, so that RocksDB is compiled once. CARGO_TARGET_DIR
# is honoured. A step is a heading and a command; the first that fails ends the run.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test bench fuzz fuzz-planted lint doc tools-build tools-bench tools-test fmt clippy one-rocksdb deny doctest smoke faults tests

# Where rustup puts cargo: a shell that was open before it ran does not know yet.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)
unexport MAKEFLAGS MFLAGS

target := $(or $(CARGO_TARGET_DIR),target)
step = @printf '\n== %s\n'

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 10

demo: tools-build ## build, then show the whole thing on a fresh ledger; ARGS="--json FILE" are passed on
	$(step) "build"
	@cargo build --release --locked
	$(step) "demo"
	@$(target)/release/fapiao demo $(ARGS)

test: tools-test lint doc doctest smoke faults tests ## the whole gate, as the CI machine runs it

lint: tools-test fmt one-rocksdb clippy deny ## format, one RocksDB, clippy, licences and bans

doc: tools-build ## the manual and the API, with every link checked
	$(step) "documentation: no warning, no broken link"
	@RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --no-deps

bench: tools-bench ## measure; ARGS="book" picks by name: the server beside its peers, written to target/bench-book
	$(step) "benchmarks"
	@cargo bench --locked --bench '*' -- $(ARGS)

fuzz: tools-build ## fuzz every decoder; SECONDS=600 each, TARGET="face rest" picks some
	$(step) "fuzzing"
	@tests/fuzz/run.sh sound $(or $(SECONDS),60) $(TARGET)

fuzz-planted: tools-build ## each fuzz target must find the bug planted in it
	$(step) "fuzzing for planted bugs"
	@tests/fuzz/run.sh planted $(or $(SECONDS),300) $(TARGET)

tools-build:
	@.ci/tools build

tools-bench:
	@.ci/tools bench

tools-test:
	@.ci/tools test

fmt:
	$(step) "format"
	@cargo fmt --check

clippy:
	$(step) "clippy: no warning"
	@cargo clippy --release --locked --all-targets -- -D warnings
	@cargo clippy --release --locked --all-targets --features faults -- -D warnings

# A development dependency that turns on a feature somewhere below RocksDB would have it compiled
# twice, once for the program and once for the tests.
one-rocksdb:
	$(step) "one RocksDB for the program and the tests"
	@tree() { cargo tree --quiet --locked --package librocksdb-sys --format '{p} {f}' --prefix none "$$@"; }; \
	program=$$(tree --edges no-dev); \
	tests=$$(tree); \
	diff <(echo "$$program") <(echo "$$tests") || { echo "these features differ"; exit 1; }

# The list of advisories is a git repository; it is read only where a copy of it lies already.
deny:
	$(step) "licences, bans, sources"
	@deny=$$(.ci/tools deny); \
	cargo fetch --quiet --locked; \
	$$deny --offline check --hide-inclusion-graph licenses bans sources; \
	if compgen -G "$(or $(CARGO_HOME),$(HOME)/.cargo)/advisory-dbs/advisory-db-*" >/dev/null; then \
		$$deny --offline check advisories; \
	fi

doctest:
	$(step) "examples in the documentation"
	@cargo test --release --locked --doc

smoke:
	$(step) "benchmarks, one round each"
	@cargo bench --locked --bench '*' -- --test

# What needs planted bugs and the simulated disk, neither of which is in a program that serves anybody.
faults: tools-test ## the tests that break things: crashes, a simulated disk, planted bugs
	$(step) "tests with faults: crashes, a simulated disk, planted bugs"
	@if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --release --locked --features faults --test faults; \
	else \
		cargo test --release --locked --features faults --test faults; \
	fi

# Last, so that a run ends with its summary.
tests:
	$(step) "tests"
	@export FAPIAO_PYTHON=$$(.ci/tools python) FAPIAO_PROMTOOL=$$(.ci/tools promtool) FAPIAO_SCHEMATHESIS=$$(.ci/tools schemathesis) \
		FAPIAO_SIGSTORE=$$(.ci/tools sigstore) FAPIAO_GO=$$(.ci/tools go); \
	if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --release --locked; \
	else \
		cargo test --release --locked --no-fail-fast --lib --bins --tests; \
	fi
