#!/usr/bin/env bash
# Processor time of whole programs from the bytes of an answer to its words: ours against the npm packages `openai` (limit
# 5x) and `eventsource-parser` with JSON.parse (limit 2x), in chunks as models send them and in awkward ones. Starting up
# does not count. Run it in the workspace, after the interop tests have installed the packages:
#   cloud-agents/benches/compare.sh
set -euo pipefail
modules=${NODE_MODULES:-target/tmp/interop/node_modules}
command -v node >/dev/null || { echo "skipped: node is not installed"; exit 0; }
[ -d "$modules/openai" ] || { echo "skipped: the packages are not in $modules"; exit 0; }
here=$(dirname "$0")
ours=$(cargo bench -p cloud-agents --bench text_delta --no-run --message-format=json 2>/dev/null |
  grep -o '"executable":"[^"]*text_delta[^"]*"' | tail -1 | cut -d'"' -f4)
script=$(mktemp -d)
trap 'rm -r "$script"' EXIT
cp "$here/text_delta.mjs" "$script" && ln -s "$(realpath "$modules")" "$script/node_modules"

spent() { # the processor time of a command, in milliseconds
  local TIMEFORMAT='%U %S'
  { time "$@" >/dev/null; } 2>&1 | awk '{ printf "%d", ($1 + $2) * 1000 }'
}
run() { # who, bytes of a chunk, times
  case $1 in
  ours) TEXT_DELTA="$2 $3" spent "$ours" ;;
  *) spent node "$script/text_delta.mjs" "$1" "$2" "$3" ;;
  esac
}
cost() { # microseconds for 1,000 events: many runs minus few, which pays for starting and warming up
  local few=$(($3 / 5)) one two
  one=$(run "$1" "$2" "$few") two=$(run "$1" "$2" "$3")
  echo $(((two - one) * 1000 / ($3 - few)))
}
status=0
for size in 180 16384 3; do
  mine=$(cost ours "$size" $((size == 3 ? 500 : 3000)))
  for pair in openai:5 parser:2; do
    who=${pair%:*} limit=${pair#*:}
    theirs=$(cost "$who" "$size" $((size == 3 ? 20 : 200)))
    awk -v s="$size" -v who="$who" -v mine="$mine" -v theirs="$theirs" -v limit="$limit" 'BEGIN {
      printf "chunks of %5d bytes: ours %6d us, %-6s %8d us for 1,000 events: %.1fx (limit %dx)\n", s, mine, who, theirs, theirs / mine, limit
      exit theirs < mine * limit }' || status=1
  done
done
exit $status
