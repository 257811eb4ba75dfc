#!/bin/sh
# Makes the initramfs: /init (the agent), /sbin/busybox (for commands outside of containers), /modules (see modules.sh), and the
# directories that the agent mounts on. The same input gives the same bytes, and no root is needed.
#
# usage: initramfs.sh AGENT BUSYBOX KERNEL_MODULES OUTPUT MODULE...
#   BUSYBOX         a static one
#   KERNEL_MODULES  a directory that holds lib/modules/VERSION of one kernel; empty, where that kernel needs no modules
set -eu

agent=$1 busybox=$2 kernel=$3 output=$4
shift 4

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 0755 "$stage"
mkdir -m 0755 "$stage/dev" "$stage/root" "$stage/sbin"
cp "$agent" "$stage/init"
cp "$busybox" "$stage/sbin/busybox"
chmod 0755 "$stage/init" "$stage/sbin/busybox"
if [ -n "$kernel" ]; then "$(dirname "$0")/modules.sh" "$kernel" "$stage/modules" "$@"; fi

find "$stage" -exec touch -h -d @0 {} +
(cd "$stage" && find . | LC_ALL=C sort | cpio --quiet -o -H newc --reproducible --owner=0:0) >"$output.part"
mv "$output.part" "$output"
