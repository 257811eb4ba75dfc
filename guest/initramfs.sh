#!/bin/sh
# Makes the initramfs: /init (the agent), /modules (see modules.sh), and the directories that the agent mounts on. The same input gives
# the same bytes, and no root is needed.
#
# usage: initramfs.sh AGENT KERNEL_MODULES OUTPUT MODULE...
#   KERNEL_MODULES  a directory that holds lib/modules/VERSION of one kernel
set -eu

agent=$1 kernel=$2 output=$3
shift 3

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 0755 "$stage"
mkdir -m 0755 "$stage/dev" "$stage/root"
cp "$agent" "$stage/init"
chmod 0755 "$stage/init"
"$(dirname "$0")/modules.sh" "$kernel" "$stage/modules" "$@"

find "$stage" -exec touch -h -d @0 {} +
(cd "$stage" && find . | LC_ALL=C sort | cpio --quiet -o -H newc --reproducible --owner=0:0) >"$output.part"
mv "$output.part" "$output"
