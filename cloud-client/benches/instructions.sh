#!/usr/bin/env bash
# Counts instructions with callgrind, which a busy machine does not change: the REST calls against a bare reqwest, and
# the cost of an event. Run it in the workspace: cloud-client/benches/instructions.sh
set -euo pipefail
command -v valgrind >/dev/null || { echo "skipped: valgrind is not installed"; exit 0; }
built() { cargo bench -p cloud-client --bench "$1" --no-run --message-format=json 2>/dev/null | grep -o '"executable":"[^"]*"' | tail -1 | cut -d'"' -f4; }
out=$(mktemp -d)
trap 'rm -r "$out"' EXIT
count() { # the instructions of the first thread of the program $1 with $2 in the variable $3: not those of its server
  rm -f "$out"/*
  env "$3=$2" valgrind --tool=callgrind --separate-threads=yes --callgrind-out-file="$out/run" "$1" >"$out/log" 2>&1
  awk '/^totals:/ { print $2 }' "$out/run-01"
}
rest=$(built rest) sse=$(built sse)
per_call() { # what one call costs; what comes before the first one does not count
  local few many
  few=$(count "$rest" "$1 200" REST_BENCH) many=$(count "$rest" "$1 1200" REST_BENCH)
  echo $(((many - few) / 1000))
}
for what in get post; do
  ours=$(per_call "ours $what") plain=$(per_call "plain $what")
  awk -v what="$what" -v ours="$ours" -v plain="$plain" \
    'BEGIN { printf "rest %-4s %d against %d instructions: %.2fx (limit 1.15x)\n", what, ours, plain, ours / plain }'
done
for size in 187 16384 3; do
  for who in ours other scan; do
    few=$(count "$sse" "$who $size 1" SSE_BENCH) many=$(count "$sse" "$who $size 3" SSE_BENCH)
    echo "sse  $who, chunks of $size bytes: $(((many - few) / 2000)) instructions an event"
  done
done
