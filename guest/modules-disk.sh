#!/bin/sh
# Makes a disk (EROFS) of modules that only few machines need: plugged in when they do, they cost the others no memory. The same input
# gives the same bytes, and no root is needed.
#
# usage: modules-disk.sh KERNEL_MODULES OUTPUT MODULE...
set -eu

kernel=$1 output=$2
shift 2

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
"$(dirname "$0")/modules.sh" "$kernel" "$stage/modules" "$@"
mkfs.erofs --quiet --all-root -T 0 -U 00000000-0000-0000-0000-000000000000 "$output.part" "$stage/modules" >/dev/null
mv "$output.part" "$output"
