#!/bin/sh
# Makes the initramfs: /init (the agent), /modules/NAME.ko and /modules/order, and the directories that the agent
# mounts on. The same input gives the same bytes, and no root is needed.
#
# usage: initramfs.sh AGENT KERNEL_MODULES OUTPUT MODULE...
#   KERNEL_MODULES  a directory that holds lib/modules/VERSION of one kernel
set -eu

agent=$1 root=$2 output=$3
shift 3

set -- "$root"/lib/modules/*/ "$@"
tree=$1
shift
if [ -d "${1:-}" ] || [ ! -d "$tree" ]; then
  echo "make initramfs: \"$root/lib/modules\" must hold exactly one kernel" >&2
  exit 1
fi

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 0755 "$stage"
mkdir -m 0755 "$stage/modules" "$stage/dev" "$stage/root"
cp "$agent" "$stage/init"
chmod 0755 "$stage/init"
: >"$stage/modules/order"

# A module's name has underscores, its file may have hyphens.
file_of() {
  find "$tree" -type f \( -name "$1.ko" -o -name "$(printf %s "$1" | tr _ -).ko" \) | head -n 1
}

builtin() {
  tr - _ <"$tree/modules.builtin" | grep -q "/$1\.ko\$"
}

# Adds a module behind what it depends on, once.
add() {
  if grep -qx "$1.ko" "$stage/modules/order" || builtin "$1"; then return; fi
  set -- "$1" "$(file_of "$1")"
  if [ -z "$2" ]; then
    echo "make initramfs: the kernel has no module \"$1\"" >&2
    exit 1
  fi
  for dependency in $(objcopy -O binary --only-section=.modinfo "$2" /dev/stdout | tr '\0' '\n' |
    sed -n 's/^depends=//p' | tr ',-' ' _'); do
    add "$dependency"
  done
  # Without debugging symbols, and without signatures: those cost 0.3 s to verify where there is no KVM, and the whole
  # initramfs is as trusted as the kernel it is booted with.
  objcopy --strip-debug "$2" "$stage/modules/$1.ko"
  chmod 0644 "$stage/modules/$1.ko"
  echo "$1.ko" >>"$stage/modules/order"
}

for module in "$@"; do add "$module"; done

find "$stage" -exec touch -h -d @0 {} +
(cd "$stage" && find . | LC_ALL=C sort | cpio --quiet -o -H newc --reproducible --owner=0:0) >"$output.part"
mv "$output.part" "$output"
