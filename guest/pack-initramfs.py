#!/usr/bin/env python3
"""Packs the guest agent and the kernel modules it loads into an initramfs (cpio "newc").

Reproducible and without root: entries are sorted, owned by 0:0 and dated 0.
"""
import argparse
import os
import re
import sys

# What a machine needs before its first container; the order follows from their dependencies.
WANTED = [
    "virtio_pci", "virtio_console", "virtio_scsi", "sd_mod", "squashfs", "ext4", "overlay", "virtio_net", "virtio_rng",
]


def module_name(path):
    return os.path.basename(path).split(".ko")[0].replace("-", "_")


def depends_of(path):
    """Names that the module at `path` says it depends on (its .modinfo section)."""
    with open(path, "rb") as file:
        found = re.search(rb"\0depends=([^\0]*)\0", file.read())
    names = found.group(1).decode() if found else ""
    return [name for name in names.split(",") if name]


def load_order(folder):
    """Paths of the wanted modules below `folder`, each behind what it depends on. What is built in is left out."""
    by_name = {}
    for parent, _, names in os.walk(os.path.join(folder, "kernel")):
        for name in names:
            if name.endswith(".ko"):
                by_name[module_name(name)] = os.path.join(parent, name)
    order = []

    def add(name):
        path = by_name.get(name.replace("-", "_"))
        if path is None or path in order:
            return
        for needed in depends_of(path):
            add(needed)
        order.append(path)

    for name in WANTED:
        add(name)
    return order


def entry(number, name, mode, data=b""):
    """One cpio record: header, name and data, each padded to four bytes."""
    encoded = name.encode() + b"\0"
    fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0]
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    record = header + encoded
    record += b"\0" * (-len(record) % 4)
    return record + data + b"\0" * (-len(data) % 4)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", required=True)
    parser.add_argument("--modules", required=True, help="folder that holds lib/modules/VERSION")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    versions = os.path.join(options.modules, "lib/modules")
    [version] = os.listdir(versions)
    folder = os.path.join(versions, version)
    order = load_order(folder)
    files = {"init": open(options.agent, "rb").read()}
    for path in order:
        with open(path, "rb") as file:
            files["modules/" + os.path.basename(path)] = file.read()
    files["modules/order"] = "".join(os.path.basename(path) + "\n" for path in order).encode()

    records = [entry(i, name, 0o040755) for i, name in enumerate(["dev", "modules", "proc", "root", "sys"], 1)]
    for i, name in enumerate(sorted(files), len(records) + 1):
        records.append(entry(i, name, 0o100755 if name == "init" else 0o100644, files[name]))
    records.append(entry(0, "TRAILER!!!", 0))
    draft = options.out + ".tmp"
    with open(draft, "wb") as file:
        file.write(b"".join(records))
    os.rename(draft, options.out)
    print(f"initramfs: agent and {len(order)} modules of {version}", file=sys.stderr)


main()
