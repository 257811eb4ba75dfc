import type { TarEntry, TarType } from './tar-scanner.ts';

const FLAGS: Readonly<Record<TarType, string>> = {
  ...{ file: '0', link: '1', symlink: '2', character: '3', block: '4', directory: '5', fifo: '6' },
};
const MAX_OCTAL_7 = 0o7777777;
const MAX_OCTAL_11 = 0o77777777777;

/** The header blocks of an entry (POSIX pax where ustar is too narrow). Names are bytes in latin1. */
export function tarHeader(entry: TarEntry): Buffer {
  const records: [string, string][] = [];
  if (entry.name.length > 100) records.push(['path', entry.name]);
  if (entry.linkName.length > 100) records.push(['linkpath', entry.linkName]);
  if (entry.sizeBytes > MAX_OCTAL_11) records.push(['size', String(entry.sizeBytes)]);
  if (entry.uid > MAX_OCTAL_7) records.push(['uid', String(entry.uid)]);
  if (entry.gid > MAX_OCTAL_7) records.push(['gid', String(entry.gid)]);
  for (const [key, value] of entry.xattrs) records.push([`SCHILY.xattr.${key}`, value]);
  const own = ustar(entry, FLAGS[entry.type]);
  if (records.length === 0) return own;
  const pax = Buffer.from(records.map(([key, value]) => paxRecord(key, value)).join(''), 'latin1');
  const paxHead = { ...entry, name: 'pax', linkName: '', sizeBytes: pax.length, mode: 0o644 };
  return Buffer.concat([ustar(paxHead, 'x'), pax, tarPadding(pax.length), own]);
}

/** Zero bytes behind content of `sizeBytes`. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc((512 - (sizeBytes % 512)) % 512);
}

/** The end of an archive. */
export const TAR_END = Buffer.alloc(1024);

function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (length !== rest.length + String(length).length) length = rest.length + String(length).length;
  return length + rest;
}

function ustar(entry: Omit<TarEntry, 'xattrs' | 'type'>, flag: string): Buffer {
  const block = Buffer.alloc(512);
  block.write(entry.name.slice(0, 100), 0, 'latin1');
  octal(block, 100, 8, entry.mode);
  octal(block, 108, 8, Math.min(entry.uid, MAX_OCTAL_7));
  octal(block, 116, 8, Math.min(entry.gid, MAX_OCTAL_7));
  octal(block, 124, 12, Math.min(entry.sizeBytes, MAX_OCTAL_11));
  octal(block, 136, 12, Math.max(0, Math.min(entry.mtime, 0xffffffff)));
  block.write('        ', 148, 'latin1');
  block.write(flag, 156, 'latin1');
  block.write(entry.linkName.slice(0, 100), 157, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  octal(block, 329, 8, entry.deviceMajor);
  octal(block, 337, 8, entry.deviceMinor);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function octal(block: Buffer, at: number, length: number, value: number): void {
  block.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1');
}
