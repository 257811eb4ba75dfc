// The guest's kernel, from Debian's package: downloaded (not installed), unpacked, its ELF image extracted.
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as zlib from 'node:zlib';
import { dependencyOf, unpackPackage } from './packages.mjs';

const META_PACKAGE = 'linux-image-cloud-amd64';

/** Unpacks the newest kernel that apt knows as `directory`: boot/vmlinuz-VERSION and lib/modules/VERSION. */
export function fetchKernel(directory) {
  unpackPackage(() => dependencyOf(META_PACKAGE, /^linux-image-\d/), directory);
}

/** Writes the ELF image of the kernel in `directory` as `vmlinux`. */
export function writeVmlinux(directory, vmlinux) {
  const boot = join(directory, 'boot');
  const [image] = readdirSync(boot).filter((name) => name.startsWith('vmlinuz-'));
  if (!image) throw new Error(`read the guest kernel: no vmlinuz-* in ${boot}; remove ${directory}`);
  mkdirSync(dirname(vmlinux), { recursive: true });
  writeFileSync(`${vmlinux}.tmp`, extractVmlinux(readFileSync(join(boot, image))));
  renameSync(`${vmlinux}.tmp`, vmlinux);
}

/** The ELF kernel inside a bzImage (Linux/x86 boot protocol: setup_sects, payload_offset, payload_length). */
export function extractVmlinux(bzImage) {
  if (bzImage.toString('latin1', 0x202, 0x206) !== 'HdrS') throw new Error('the kernel is no bzImage');
  const setupSectors = bzImage[0x1f1] || 4;
  const start = (setupSectors + 1) * 512 + bzImage.readUInt32LE(0x248);
  const payload = bzImage.subarray(start, start + bzImage.readUInt32LE(0x24c));
  const elf = decompress(payload);
  if (elf.toString('latin1', 0, 4) !== '\x7fELF') throw new Error("the kernel's payload is no ELF image");
  return elf;
}

/** The payload's last four bytes are its unpacked size, which the kernel's build appends. */
function decompress(payload) {
  const magic = payload.readUInt32LE(0);
  if (magic === 0x184c2102) return unlz4Legacy(payload, payload.readUInt32LE(payload.length - 4));
  if ((magic & 0xffff) === 0x8b1f) return zlib.gunzipSync(payload);
  throw new Error(
    `the kernel's payload is compressed in an unknown way (${payload.toString('hex', 0, 6)}); want LZ4 or gzip`,
  );
}

/** LZ4 legacy frame: blocks of up to 8 MiB, each behind its compressed length. */
function unlz4Legacy(data, sizeBytes) {
  const out = Buffer.alloc(sizeBytes);
  let to = 0;
  for (let at = 4; at + 4 < data.length; ) {
    const length = data.readUInt32LE(at);
    to = unlz4Block(data.subarray(at + 4, at + 4 + length), out, to);
    at += 4 + length;
  }
  if (to !== sizeBytes) throw new Error(`the kernel unpacks to ${to} bytes; want ${sizeBytes}`);
  return out;
}

/** Appends one LZ4 block (literals and matches, see lz4's block format description) to `out` at `to`; returns where it ends. */
function unlz4Block(block, out, to) {
  for (let at = 0; at < block.length; ) {
    const token = block[at++];
    let literals = token >> 4;
    if (literals === 15) for (let more = 255; more === 255; literals += more) more = block[at++];
    block.copy(out, to, at, at + literals);
    at += literals;
    to += literals;
    if (at >= block.length) break;
    const distance = block.readUInt16LE(at);
    at += 2;
    let length = (token & 15) + 4;
    if ((token & 15) === 15) for (let more = 255; more === 255; length += more) more = block[at++];
    for (let i = 0; i < length; i++, to++) out[to] = out[to - distance];
  }
  return to;
}
