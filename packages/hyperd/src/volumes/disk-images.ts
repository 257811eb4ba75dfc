import { open } from 'node:fs/promises';
import { HyperError } from '../errors.ts';

const QCOW2_MAGIC = 0x51_46_49_fb;
const VDI_MAGIC = 0xbeda107f;
const HEADER_BYTES = 104;
const EXTERNAL_DATA = 1n << 2n;
const KNOWN_FEATURES = 0b1_1111n;

export type DiskFormat = 'raw' | 'qcow2' | 'vdi';

/**
 * Looks at an image before a machine gets it: its format is the one that was said, and it names no other file of the host. Throws `invalid-spec`;
 * `what` begins the error. QEMU checks what it opens once more.
 */
export async function checkDiskImage(path: string, format: DiskFormat, what: string): Promise<void> {
  const refuse = (why: string): never => {
    throw new HyperError('invalid-spec', `${what}: disk image "${path}" ${why}`);
  };
  await using file = await open(path, 'r').catch((error: Error) =>
    refuse(`cannot be read: ${error.message}`),
  );
  const header = Buffer.alloc(HEADER_BYTES);
  const { bytesRead } = await file.read(header, 0, HEADER_BYTES, 0);
  if (bytesRead === 0) refuse('is empty');
  switch (format) {
    case 'raw':
      if (header.readUInt32BE(0) === QCOW2_MAGIC) refuse('is a qcow2 image, not a raw one');
      return;
    case 'vdi':
      if (header.readUInt32LE(64) !== VDI_MAGIC) refuse('is not a vdi image');
      return;
    case 'qcow2':
      checkQcow2(header, refuse);
  }
}

/** QEMU's docs/interop/qcow2: offsets of the header's fields. */
function checkQcow2(header: Buffer, refuse: (why: string) => never): void {
  if (header.readUInt32BE(0) !== QCOW2_MAGIC) refuse('is not a qcow2 image');
  const version = header.readUInt32BE(4);
  if (version !== 2 && version !== 3) refuse(`has version ${version} of qcow2; want 2 or 3`);
  if (header.readBigUInt64BE(8) !== 0n || header.readUInt32BE(16) !== 0)
    refuse('is based on another image; a volume has to be whole ("qemu-img convert" makes it so)');
  if (header.readUInt32BE(32) !== 0) refuse('is encrypted');
  if (version === 2) return;
  const features = header.readBigUInt64BE(72);
  if ((features & EXTERNAL_DATA) !== 0n) refuse('keeps its data in another file; a volume has to be whole');
  if ((features & ~KNOWN_FEATURES) !== 0n) refuse('has features that are not known');
}

interface Holder {
  readonly pod: string;
  readonly writes: boolean;
}

/** Which pods have which disk images: one that writes, or any number that read. */
export class DiskLeases {
  readonly #holders = new Map<string, Holder[]>();

  /** Held until it is disposed of. Throws `conflict` naming the pod that has the image. */
  take(identity: string, path: string, holder: Holder): Disposable {
    const holders = this.#holders.get(identity) ?? [];
    const other = holders.find(({ pod, writes }) => pod !== holder.pod && (writes || holder.writes));
    if (other) {
      throw new HyperError(
        'conflict',
        `use disk image "${path}": pod "${other.pod}" ${other.writes ? 'writes to it' : 'reads it'}; one pod may have it to write, or several read-only`,
      );
    }
    this.#holders.set(identity, [...holders, holder]);
    return {
      [Symbol.dispose]: () => {
        const left = this.#holders.get(identity)?.filter((each) => each !== holder) ?? [];
        if (left.length > 0) this.#holders.set(identity, left);
        else this.#holders.delete(identity);
      },
    };
  }
}
