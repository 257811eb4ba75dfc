import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { HyperError, messageOf } from '../../errors.ts';
import { NO_XATTRS, type TarEntry, type TarType } from '../../tar/tar-scanner.ts';

/** An entry of a layer whose contents lie in a data file, each from a block of its own on. */
export interface LayerEntry extends TarEntry {
  /** Block of the data file; 0 where there is no content. */
  readonly firstBlock: number;
}

/** Bytes of a block: what the page cache and EROFS count in. */
export const BLOCK_BYTES = 4096;

const TYPES: readonly TarType[] = ['file', 'link', 'symlink', 'character', 'block', 'directory', 'fifo'];

const Row = Type.Tuple([
  ...[Type.String(), Type.Integer({ minimum: 0, maximum: TYPES.length - 1 }), Type.Integer()], // name, type, mode
  ...[Type.Integer(), Type.Integer(), Type.Number()], // uid, gid, mtime
  ...[Type.Integer(), Type.Integer(), Type.String()], // size, first block, link
  ...[Type.Integer(), Type.Integer(), Type.Record(Type.String(), Type.String())], // device, extended attributes
] as const);
const validator = Compile(Type.Array(Row));

/** Entries as one text, to be read by `parseLayerIndex`. */
export function formatLayerIndex(entries: readonly LayerEntry[]): string {
  const rows = entries.map((entry): Static<typeof Row> => {
    const { name, type, mode, uid, gid, mtime, sizeBytes, firstBlock, linkName } = entry;
    const { deviceMajor, deviceMinor, xattrs } = entry;
    return [
      ...([name, TYPES.indexOf(type), mode, uid, gid, mtime, sizeBytes, firstBlock, linkName] as const),
      ...([deviceMajor, deviceMinor, Object.fromEntries(xattrs)] as const),
    ];
  });
  return JSON.stringify(rows);
}

/** Throws `corrupt`. */
export function parseLayerIndex(text: string): LayerEntry[] {
  let rows: unknown;
  try {
    rows = JSON.parse(text);
  } catch (error) {
    throw new HyperError('corrupt', `read layer index: ${messageOf(error)}`, { cause: error });
  }
  if (!validator.Check(rows)) throw new HyperError('corrupt', 'read layer index: it has another format');
  return rows.map((row) => {
    const [name, type, mode, uid, gid, mtime, sizeBytes, firstBlock, linkName, major, minor, xattrs] = row;
    return {
      ...{ name, type: TYPES[type] as TarType, mode, uid, gid, mtime, sizeBytes, firstBlock, linkName },
      ...{ deviceMajor: major, deviceMinor: minor, xattrs: mapOf(xattrs) },
    };
  });
}

function mapOf(xattrs: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  const entries = Object.entries(xattrs);
  return entries.length === 0 ? NO_XATTRS : new Map(entries);
}
