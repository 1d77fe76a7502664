#!/bin/bash
# Fuzzes the targets one after the other, from the repository's root:
#   tests/fuzz/run.sh sound SECONDS [TARGET…]     each for that long; ends at the first finding
#   tests/fuzz/run.sh planted SECONDS [TARGET…]   each must find the bug planted in it, within that time
set -euo pipefail
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
here=tests/fuzz
subject=$1 seconds=$2
shift 2
[ -f $here/Cargo.toml ] || { echo "run this from the repository's root" >&2; exit 2; }
cargo fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is missing: cargo install cargo-fuzz --locked" >&2; exit 2; }
[ $# -gt 0 ] || set -- $(cd $here/fuzz_targets && basename -s .rs ./*.rs)

# The RocksDB of the normal build is linked as it is: it takes minutes to compile, and no target comes near it.
built=$(realpath -m "${CARGO_TARGET_DIR:-target}")
if [ -z "${ROCKSDB_LIB_DIR:-}" ]; then
	newest() { ls -td "$built"/release/build/librocksdb-sys-*/out/librocksdb.a 2>/dev/null | head -n 1; }
	[ -n "$(newest)" ] || cargo build --release --locked
	ROCKSDB_LIB_DIR=$(dirname "$(newest)")
fi
export ROCKSDB_LIB_DIR ROCKSDB_STATIC=1 CARGO_TARGET_DIR="$built/fuzz"

# No sanitizer: the crate forbids unsafe code, and so any stable compiler will do.
flags=(-s none --fuzz-dir $here)
random=0
[ "$subject" = sound ] || { flags+=(--features planted); random=1; }
work=$CARGO_TARGET_DIR/$subject
mkdir -p "$work"
echo "building ($work/build.log)"
cargo fuzz build "${flags[@]}" 2>"$work/build.log" || { cat "$work/build.log" >&2; exit 1; }

printf '%-12s %12s %8s %6s %9s %7s  %s\n' target executions a_second cov features corpus found
missed=0
for target; do
	# What is found goes here, never into the committed corpus. A planted bug is looked for from the committed corpus alone.
	[ "$subject" = sound ] || rm -rf "${work:?}/$target"
	mkdir -p "$work/$target/corpus"
	log=$work/$target/log
	rc=0
	cargo fuzz run "${flags[@]}" "$target" "$work/$target/corpus" "$here/corpus/$target" -- -artifact_prefix="$work/$target/" \
		-seed=$random -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1 || rc=$?
	number() { grep -oP "$1" "$log" | tail -n 1 || true; }
	found=$(grep -m 1 -oE 'panicked at .*|ERROR: libFuzzer: (timeout|out-of-memory).*' "$log" || true)
	[ "$rc" = 0 ] || [ -n "$found" ] || { cat "$log" >&2; exit 1; }
	printf '%-12s %12s %8s %6s %9s %7s  %s\n' "$target" "$(number 'number_of_executed_units: *\K\d+')" \
		"$(number 'average_exec_per_sec: *\K\d+')" "$(number ' cov: \K\d+')" "$(number ' ft: \K\d+')" "$(number ' corp: \K\d+')" "${found:-nothing}"
	if [ "$subject" = sound ] && [ "$rc" != 0 ]; then
		echo "the input is in $work/$target; all of it in $log" >&2
		exit 1
	fi
	[ "$subject" = sound ] || [ "$rc" != 0 ] || missed=1
done
[ "$missed" = 0 ] || { echo "a planted bug was not found" >&2; exit 1; }
