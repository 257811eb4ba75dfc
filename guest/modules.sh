#!/bin/sh
# Gathers kernel modules in a directory: NAME.ko and `order`, which has each behind what it depends on. No root is needed.
#
# usage: modules.sh KERNEL_MODULES DIRECTORY MODULE...
#   KERNEL_MODULES  a directory that holds lib/modules/VERSION of one kernel
set -eu

root=$1 directory=$2
shift 2

set -- "$root"/lib/modules/*/ "$@"
tree=$1
shift
if [ -d "${1:-}" ] || [ ! -d "$tree" ]; then
  echo "gather modules: \"$root/lib/modules\" must hold exactly one kernel" >&2
  exit 1
fi

mkdir -m 0755 "$directory"
: >"$directory/order"

# A module's name has underscores, its file may have hyphens.
file_of() {
  find "$tree" -type f \( -name "$1.ko" -o -name "$(printf %s "$1" | tr _ -).ko" \) | head -n 1
}

builtin() {
  tr - _ <"$tree/modules.builtin" | grep -q "/$1\.ko\$"
}

# Adds a module behind what it depends on, once.
add() {
  if grep -qx "$1.ko" "$directory/order" || builtin "$1"; then return; fi
  set -- "$1" "$(file_of "$1")"
  if [ -z "$2" ]; then
    echo "gather modules: the kernel has no module \"$1\"" >&2
    exit 1
  fi
  for dependency in $(objcopy -O binary --only-section=.modinfo "$2" /dev/stdout | tr '\0' '\n' |
    sed -n 's/^depends=//p' | tr ',-' ' _'); do
    add "$dependency"
  done
  # Without debugging symbols, and without signatures: those cost 0.3 s to verify where there is no KVM, and the whole
  # initramfs is as trusted as the kernel it is booted with.
  objcopy --strip-debug "$2" "$directory/$1.ko"
  chmod 0644 "$directory/$1.ko"
  echo "$1.ko" >>"$directory/order"
}

for module in "$@"; do add "$module"; done
