#!/usr/bin/env bash
# run.sh PROGRAM SECONDS DIRECTORY: one fuzzer for so long. Its corpus grows in DIRECTORY/TARGET, from real encodings; an input that
# breaks a promise is left in DIRECTORY/TARGET-broken-…: PROGRAM FILE runs it again. TIDEMARK_FUZZ_SEED fixes libFuzzer's seed.
set -euo pipefail
program=$1 seconds=$2 directory=$3
target=${program##*/fuzz_}
seed=${TIDEMARK_FUZZ_SEED:-$((RANDOM * 32768 + RANDOM + 1))}
corpus=$directory/$target
mkdir -p "$corpus"
TIDEMARK_FUZZ_SEEDS=$corpus "$program"
echo "fuzzing $target for $seconds s, seed $seed (TIDEMARK_FUZZ_SEED=$seed), corpus $corpus"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
result=0
"$program" -seed="$seed" -max_total_time="$seconds" -rss_limit_mb=1024 -malloc_limit_mb=256 -max_len=4096 -timeout=10 \
  -print_final_stats=1 -artifact_prefix="$directory/$target-broken-" "$corpus" >"$log" 2>&1 || result=$?
if [ $result -ne 0 ]; then
  grep -avE '^(INFO|#[0-9]+)' "$log" | head -80
  echo "$target: seed $seed broke a promise"
else
  grep -aE '^(Done|stat::number_of_executed_units|stat::peak_rss_mb)' "$log"
fi
exit $result
