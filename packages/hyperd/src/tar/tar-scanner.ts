import { HyperError } from '../errors.ts';

/**
 * One entry of a tar archive. Names are bytes, not text: every character stands for one byte (latin1), so that any name
 * survives; libraries that decode UTF-8 lose those that are none.
 */
export interface TarEntry {
  readonly name: string;
  readonly type: TarType;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  /** Seconds since the epoch. */
  readonly mtime: number;
  readonly linkName: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Extended attributes, values as bytes in latin1. */
  readonly xattrs: ReadonlyMap<string, string>;
}

export type TarType = 'file' | 'link' | 'symlink' | 'character' | 'block' | 'directory' | 'fifo';

/** An extended header whose data is being gathered. */
interface Collecting {
  readonly type: string;
  readonly size: number;
  readonly chunks: Buffer[];
  left: number;
}

const BLOCK_BYTES = 512;
/** Two blocks of zeros end an archive; what follows is nobody's. */
const END_BLOCKS = 2;
const MAX_HEADER_BYTES = 1024 * 1024;
const MAX_ENTRIES = 5_000_000;
/** The last id is the kernel's "none". */
const MAX_ID = 0xffff_fffe;
/** What a file system's path, and so a symbolic link, can be at most. */
const MAX_LINK_BYTES = 4095;
const PAX_XATTR = 'SCHILY.xattr.';
const TYPES: Readonly<Record<string, TarType>> = {
  ...{ '\0': 'file', '0': 'file', '7': 'file', '1': 'link', '2': 'symlink' },
  ...{ '3': 'character', '4': 'block', '5': 'directory', '6': 'fifo' },
};

export interface TarListener {
  onEntry(entry: TarEntry): void;
  /** Content of the entry that came last, in order; only of files. */
  onData?(chunk: Buffer): void;
}

/**
 * Reads a tar archive (POSIX ustar and pax, GNU) that is pushed through it in chunks of any size.
 * Throws `corrupt` for what is no tar, `unsupported` for sparse files, `limit` beyond its bounds.
 */
export class TarScanner {
  readonly #listener: TarListener;
  readonly #block = Buffer.alloc(BLOCK_BYTES);
  #filled = 0;
  #position = 0;
  #data = 0;
  #skip = 0;
  #zeroBlocks = 0;
  #collect: Collecting | undefined;
  #pax = new Map<string, string>();
  #globalPax = new Map<string, string>();
  #longName: string | undefined;
  #longLink: string | undefined;
  #entries = 0;

  constructor(listener: TarListener) {
    this.#listener = listener;
  }

  push(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    for (let at = 0; at < bytes.length && this.#zeroBlocks < END_BLOCKS; ) {
      const taken = this.#take(bytes, at);
      at += taken;
      this.#position += taken;
      if (this.#filled === BLOCK_BYTES) {
        this.#filled = 0;
        this.#header();
      }
    }
  }

  /** The archive has ended: throws `corrupt` where an entry is cut short. */
  finish(): void {
    if (this.#data > 0 || this.#skip > 0 || this.#collect || this.#filled > 0)
      throw this.#corrupt('it ends in the middle of an entry');
  }

  /** Takes bytes for whatever comes next; returns how many. */
  #take(bytes: Buffer, at: number): number {
    const have = bytes.length - at;
    if (this.#collect) return this.#collectBytes(bytes.subarray(at));
    if (this.#data > 0) {
      const taken = Math.min(have, this.#data);
      this.#data -= taken;
      this.#listener.onData?.(bytes.subarray(at, at + taken));
      return taken;
    }
    if (this.#skip > 0) {
      const taken = Math.min(have, this.#skip);
      this.#skip -= taken;
      return taken;
    }
    const taken = Math.min(have, BLOCK_BYTES - this.#filled);
    bytes.copy(this.#block, this.#filled, at, at + taken);
    this.#filled += taken;
    return taken;
  }

  #collectBytes(bytes: Buffer): number {
    const collect = this.#collect as Collecting;
    const part = bytes.subarray(0, collect.left);
    collect.chunks.push(Buffer.from(part));
    collect.left -= part.length;
    if (collect.left === 0) {
      this.#collect = undefined;
      this.#extension(collect.type, Buffer.concat(collect.chunks));
      this.#skip = padding(collect.size);
    }
    return part.length;
  }

  #header(): void {
    const block = this.#block;
    if (isZero(block)) {
      this.#zeroBlocks++;
      return;
    }
    this.#zeroBlocks = 0;
    this.#verifyChecksum(block);
    const type = String.fromCharCode(block[156] as number);
    const size = this.#number(block, 124, 12, 'size');
    if ('xgLK'.includes(type)) {
      if (size > MAX_HEADER_BYTES)
        throw new HyperError(
          'limit',
          `read tar: an extended header has ${size} bytes, at most ${MAX_HEADER_BYTES} are read`,
        );
      if (size > 0) this.#collect = { type, size, chunks: [], left: size };
      return;
    }
    this.#entry(block, type, size);
  }

  #entry(block: Buffer, typeFlag: string, headerSize: number): void {
    // A record without a value takes one away (POSIX pax): the header's own counts then. An attribute may be empty.
    const given = [...this.#globalPax, ...this.#pax];
    const pax = new Map(given.filter(([key, value]) => value !== '' || key.startsWith(PAX_XATTR)));
    for (const key of pax.keys())
      if (key.startsWith('GNU.sparse.'))
        throw new HyperError('unsupported', 'read tar: sparse files are not supported');
    if (typeFlag === 'S') throw new HyperError('unsupported', 'read tar: sparse files are not supported');
    const type = TYPES[typeFlag];
    const sizeBytes = paxNumber(pax, 'size') ?? headerSize;
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) throw this.#corrupt(`size ${sizeBytes}`);
    const hasData = type === 'file' || type === undefined;
    this.#data = hasData ? sizeBytes : 0;
    this.#skip = hasData ? padding(sizeBytes) : 0;
    if (++this.#entries > MAX_ENTRIES)
      throw new HyperError('limit', `read tar: more than ${MAX_ENTRIES} entries`);
    const name = pax.get('path') ?? this.#longName ?? headerName(block);
    const linkName = pax.get('linkpath') ?? this.#longLink ?? text(block, 157, 100);
    this.#pax = new Map();
    this.#longName = undefined;
    this.#longLink = undefined;
    if (type === undefined) {
      this.#skip += this.#data; // of a kind that POSIX lets a reader pass over
      this.#data = 0;
      return;
    }
    if (name.includes('\0') || linkName.includes('\0')) throw this.#corrupt('a name with a NUL byte');
    if (type === 'symlink' && (linkName === '' || linkName.length > MAX_LINK_BYTES))
      throw this.#corrupt(`a symbolic link to a name of ${linkName.length} bytes`);
    const oldDirectory = type === 'file' && name.endsWith('/');
    this.#listener.onEntry({
      name,
      linkName,
      type: oldDirectory ? 'directory' : type,
      mode: this.#number(block, 100, 8, 'mode') & 0o7777,
      uid: this.#id(paxNumber(pax, 'uid') ?? this.#number(block, 108, 8, 'uid')),
      gid: this.#id(paxNumber(pax, 'gid') ?? this.#number(block, 116, 8, 'gid')),
      sizeBytes: hasData ? sizeBytes : 0,
      mtime: this.#time(paxNumber(pax, 'mtime') ?? this.#number(block, 136, 12, 'mtime')),
      deviceMajor: this.#number(block, 329, 8, 'device'),
      deviceMinor: this.#number(block, 337, 8, 'device'),
      xattrs: xattrsOf(pax),
    });
  }

  /** An id that is cut to 32 bits would be another's, such as root's. */
  #id(id: number): number {
    if (Number.isInteger(id) && id >= 0 && id <= MAX_ID) return id;
    throw this.#corrupt(`a user or group id of ${id}`);
  }

  #time(seconds: number): number {
    const whole = Math.floor(seconds);
    if (Number.isSafeInteger(whole)) return whole;
    throw this.#corrupt(`a time of ${seconds} seconds`);
  }

  #extension(type: string, data: Buffer): void {
    if (type === 'L') this.#longName = untilNul(data);
    else if (type === 'K') this.#longLink = untilNul(data);
    else if (type === 'x') this.#pax = this.#records(data);
    else for (const [key, value] of this.#records(data)) this.#globalPax.set(key, value);
  }

  /** pax records: "LENGTH KEY=VALUE\n", LENGTH counting all of it. */
  #records(data: Buffer): Map<string, string> {
    const records = new Map<string, string>();
    for (let at = 0; at < data.length; ) {
      const space = data.indexOf(0x20, at);
      const length = space < 0 ? Number.NaN : Number(data.toString('latin1', at, space));
      const end = at + length;
      const equals = data.indexOf(0x3d, space);
      if (
        !Number.isInteger(length) ||
        end > data.length ||
        data[end - 1] !== 0x0a ||
        equals < 0 ||
        equals >= end
      )
        throw this.#corrupt('a pax header that is damaged');
      records.set(data.toString('latin1', space + 1, equals), data.toString('latin1', equals + 1, end - 1));
      at = end;
    }
    return records;
  }

  #verifyChecksum(block: Buffer): void {
    let unsigned = 0;
    let signed = 0;
    for (let i = 0; i < BLOCK_BYTES; i++) {
      const byte = i >= 148 && i < 156 ? 0x20 : (block[i] as number);
      unsigned += byte;
      signed += byte > 127 ? byte - 256 : byte;
    }
    const stored = this.#number(block, 148, 8, 'checksum');
    if (stored !== unsigned && stored !== signed) throw this.#corrupt('a header with a wrong checksum');
  }

  /** Octal digits, or GNU's base-256 for what does not fit. */
  #number(block: Buffer, at: number, length: number, what: string): number {
    const first = block[at] as number;
    if (first & 0x80) {
      let value = BigInt(first & 0x7f);
      for (let i = 1; i < length; i++) value = (value << 8n) | BigInt(block[at + i] as number);
      if (first & 0x40) value -= 1n << BigInt(length * 8 - 1);
      return Number(value);
    }
    const digits = block
      .toString('latin1', at, at + length)
      .replace(/\0.*$/s, '')
      .trim();
    if (digits === '') return 0;
    if (!/^[0-7]+$/.test(digits)) throw this.#corrupt(`${what} "${digits.replace(/[^ -~]/g, '?')}"`);
    return Number.parseInt(digits, 8);
  }

  #corrupt(what: string): HyperError {
    return new HyperError('corrupt', `read tar: ${what}, before byte ${this.#position}`);
  }
}

/** What most entries have. */
export const NO_XATTRS: ReadonlyMap<string, string> = new Map();

function xattrsOf(pax: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  if (pax.size === 0) return NO_XATTRS;
  const found = new Map<string, string>();
  for (const [key, value] of pax)
    if (key.startsWith(PAX_XATTR)) found.set(key.slice(PAX_XATTR.length), value);
  return found;
}

function paxNumber(pax: ReadonlyMap<string, string>, key: string): number | undefined {
  const value = pax.get(key);
  if (value === undefined) return undefined;
  if (!/^-?\d+(\.\d*)?$/.test(value)) throw new HyperError('corrupt', `read tar: pax ${key} is no number`);
  return Number(value);
}

function headerName(block: Buffer): string {
  const name = text(block, 0, 100);
  const isPosix = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isPosix ? text(block, 345, 155) : '';
  return prefix ? `${prefix}/${name}` : name;
}

function text(block: Buffer, at: number, length: number): string {
  return untilNul(block.subarray(at, at + length));
}

function untilNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
}

function padding(size: number): number {
  return (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
}

function isZero(block: Buffer): boolean {
  for (let i = 0; i < BLOCK_BYTES; i += 8) if (block.readBigUInt64LE(i) !== 0n) return false;
  return true;
}
