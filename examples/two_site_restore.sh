#!/usr/bin/env bash
# Two sites on one machine: a volume that is mounted and a copy of it that is fed over ZeroMQ. The primary is lost; the data
# comes back from the copy, as of a mark.
#
#   TIDEMARK=build/tidemark examples/two_site_restore.sh
set -euo pipefail

tidemark=${TIDEMARK:-tidemark}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/tidemark-example-XXXXXX")
site_pid=

cleanup() {
  "$tidemark" umount "$work/mnt" 2>/dev/null || true
  [ -z "$site_pid" ] || { kill "$site_pid" 2>/dev/null && wait "$site_pid"; } || true
  rm -rf "$work"
}
trap cleanup EXIT

# The other site. In real life: another machine, with keys (`tidemark keygen`) and an allow-list.
"$tidemark" serve --dir "$work/site" --listen 'tcp://127.0.0.1:*' > "$work/endpoint" &
site_pid=$!
for _ in $(seq 100); do [ -s "$work/endpoint" ] && break; sleep 0.1; done
endpoint=$(sed -n 's/^listening on //p' "$work/endpoint")
echo "site at $endpoint"

# The primary, and data in it.
"$tidemark" init "$work/vol" --name ledger
mkdir "$work/mnt"
"$tidemark" mount "$work/vol" "$work/mnt"
"$tidemark" pair create "$work/vol" away "$endpoint"
mkdir "$work/mnt/books"
seq 1 10000 > "$work/mnt/books/2026"
ln -s books/2026 "$work/mnt/current"

# A good state, named; the command returns when the site has it on its disk.
"$tidemark" mark create "$work/mnt" year-end --wait away --timeout 30s
cp -a "$work/mnt" "$work/expected"

# Then it goes wrong.
echo rubbish > "$work/mnt/books/2026"
rm "$work/mnt/current"
"$tidemark" umount "$work/mnt"
rm -rf "$work/vol"

# And comes back, from the site alone.
"$tidemark" mark list "$endpoint/ledger"
"$tidemark" restore "$endpoint/ledger@year-end" --target "$work/back"
diff -r --no-dereference "$work/expected" "$work/back"
echo "restored exactly"
