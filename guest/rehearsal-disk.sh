#!/bin/sh
# Makes the disk (EROFS) of a tiny image: what machines start a container of before they wait for a pod. The same input gives the
# same bytes, and no root is needed.
#
# usage: rehearsal-disk.sh BUSYBOX OUTPUT
#   BUSYBOX  a static one
set -eu

busybox=$1 output=$2

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 0755 "$stage"
mkdir -m 0755 "$stage/bin"
cp "$busybox" "$stage/bin/sh"
chmod 0755 "$stage/bin/sh"
mkfs.erofs --quiet --all-root -T 0 -U 00000000-0000-0000-0000-000000000000 "$output.part" "$stage" >/dev/null
mv "$output.part" "$output"
