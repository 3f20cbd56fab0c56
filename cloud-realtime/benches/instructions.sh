#!/usr/bin/env bash
# Counts what a message of 600 bytes costs, in instructions (callgrind) and allocations, which a busy machine does not
# change, and fails above the limits. Run it in the workspace: cloud-realtime/benches/instructions.sh
set -euo pipefail
command -v valgrind >/dev/null || { echo "skipped: valgrind is not installed"; exit 0; }
program=$(cargo bench -p cloud-realtime --bench codec --no-run --message-format=json 2>/dev/null |
  grep -o '"executable":"[^"]*"' | tail -1 | cut -d'"' -f4)
out=$(mktemp -d)
trap 'rm -r "$out"' EXIT
instructions() { # of the whole program, doing $1
  CODEC_BENCH="$1" valgrind --tool=callgrind --callgrind-out-file="$out/run" "$program" >"$out/log" 2>&1
  awk '/^totals:/ { print $2 }' "$out/run"
}
allocations() {
  CODEC_BENCH="$1" valgrind --tool=memcheck --leak-check=no "$program" 2>&1 >/dev/null |
    sed -n 's/.*total heap usage: \([0-9,]*\) allocs.*/\1/p' | tr -d ,
}
failed=0
each() { # what, version, limit of instructions, limit of allocations; what comes before the first message does not count
  local i a over=""
  i=$((($(instructions "$1 $2 1100") - $(instructions "$1 $2 100")) / 1000))
  a=$((($(allocations "$1 $2 1100") - $(allocations "$1 $2 100")) / 1000))
  if [ "$i" -gt "$3" ] || [ "$a" -gt "$4" ]; then over=" TOO MUCH" failed=1; fi
  echo "$1 $2: $i instructions (limit $3), $a allocations (limit $4)$over"
}
none=1000000000
for version in 2.0.0 1.0.0; do
  each envelope $version 10000 2
  each typed_row $version 20000 6
  each value $version $none $none
  each value_to_row $version $none $none
done
each presence 2.0.0 $none $none
exit $failed
