// The guest's kernel, from Debian's package: downloaded (not installed), unpacked, its ELF image extracted.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

const META_PACKAGE = 'linux-image-cloud-amd64';

/**
 * Makes `OUT/vmlinux` and returns the folder that holds `lib/modules/VERSION`. Done once: what lies in `cache` is used again, with
 * no network.
 */
export function prepareKernel(cache, out) {
  mkdirSync(cache, { recursive: true });
  mkdirSync(out, { recursive: true });
  const unpacked = join(cache, 'kernel');
  if (!existsSync(join(unpacked, 'boot'))) unpack(cache, unpacked);
  const [image] = readdirSync(join(unpacked, 'boot')).filter((name) => name.startsWith('vmlinuz-'));
  if (!image)
    throw new Error(`no boot/vmlinuz-* in ${unpacked}; remove that folder and run the set-up again`);
  const vmlinux = join(out, 'vmlinux');
  if (!existsSync(vmlinux)) {
    writeFileSync(`${vmlinux}.tmp`, extractVmlinux(readFileSync(join(unpacked, 'boot', image))));
    renameSync(`${vmlinux}.tmp`, vmlinux);
  }
  return unpacked;
}

function unpack(cache, unpacked) {
  const depends = execFileSync('apt-cache', ['depends', META_PACKAGE], { encoding: 'utf8' });
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (!name) throw new Error(`apt knows no package that ${META_PACKAGE} stands for; run "apt-get update"`);
  execFileSync('apt-get', ['download', name], { cwd: cache, stdio: ['ignore', 'ignore', 'pipe'] });
  const [archive] = readdirSync(cache).filter((file) => file.startsWith(`${name}_`) && file.endsWith('.deb'));
  const draft = `${unpacked}.tmp`;
  rmSync(draft, { recursive: true, force: true });
  execFileSync('dpkg-deb', ['-x', join(cache, archive), draft]);
  renameSync(draft, unpacked);
  rmSync(join(cache, archive));
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

function decompress(payload) {
  if (payload.readUInt32LE(0) === 0x184c2102) return unlz4Legacy(payload);
  if (payload.readUInt16LE(0) === 0x8b1f) return gunzipSync(payload);
  throw new Error(`the kernel's payload is compressed in an unknown way (${payload.toString('hex', 0, 6)})`);
}

/** LZ4 legacy frame: blocks of up to 8 MiB, each behind its compressed length. */
function unlz4Legacy(data) {
  const blocks = [];
  for (let at = 4; at + 4 <= data.length; ) {
    const length = data.readUInt32LE(at);
    if (length === 0 || at + 4 + length > data.length) break; // the bzImage appends the unpacked size
    blocks.push(unlz4Block(data.subarray(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  return Buffer.concat(blocks);
}

/** One LZ4 block: literals and matches, see lz4's block format description. */
function unlz4Block(block) {
  const out = Buffer.allocUnsafe(8 << 20);
  let to = 0;
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
  return out.subarray(0, to);
}
