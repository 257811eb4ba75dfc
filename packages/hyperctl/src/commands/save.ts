import { createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Command } from '../command.ts';
import { keyValueObject } from '../key-values.ts';
import { SignalForwarder } from '../signals.ts';
import { uniqueName } from '../unique-name.ts';
import { UsageError } from '../usage-error.ts';
import { write } from '../write.ts';

/** So that reading goes on while the disk is slow. */
const WRITE_BYTES = 4 << 20;

export const command: Command = {
  name: 'save',
  operands: 'IMAGE...',
  summary: 'Write images to an archive for "load", "docker load" or skopeo',
  details:
    'A name without a tag stands for all tags of the repository. The archive is an OCI layout; unless -f oci is given, with a manifest.json for Docker beside.',
  options: [
    { name: 'output', short: 'o', value: 'FILE', help: 'where to write (default: stdout)' },
    { name: 'format', short: 'f', value: 'FORMAT', help: 'docker (the default) or oci' },
    {
      ...{ name: 'references', short: 'r', value: 'IMAGE=NAME', repeats: true },
      help: 'the name that the layout gives to an image',
    },
  ],
  operandCount: [1, Number.POSITIVE_INFINITY],
  async run({ client, options, operands, terminal: { stdout } }) {
    const format = formatOf(options.text('format') ?? 'docker');
    const path = options.text('output');
    if (path === undefined && stdout.isTTY) {
      throw new UsageError(
        'save does not write an archive to a terminal; use -o FILE, or redirect the output',
      );
    }
    const refs = keyValueObject(options, 'references');
    using signals = new SignalForwarder(); // what is half-written is removed
    const { signal } = signals;
    const archive = await signals.orInterrupted(client.images.save(operands, { format, refs, signal }));
    const written = path === undefined ? writeTo(stdout, archive) : writeFile(path, archive);
    await signals.orInterrupted(written);
    return 0;
  },
};

function formatOf(text: string): 'docker' | 'oci' {
  if (text === 'docker' || text === 'oci') return text;
  throw new UsageError(`--format is "${text}", want docker or oci`);
}

async function writeTo(stdout: NodeJS.WriteStream, archive: Readable): Promise<void> {
  try {
    for await (const chunk of archive) await write(stdout, chunk as Uint8Array);
  } catch (error) {
    throw archive.errored ? brokenOff(error) : error;
  }
}

/** The archive takes the file's place only when it is whole. What is no plain file (a pipe, a device) is written to as it is. */
async function writeFile(path: string, archive: Readable): Promise<void> {
  const isPlain = await isPlainOrMissing(path);
  const target = isPlain ? `${path}.${uniqueName()}` : path;
  const file = createWriteStream(target, { flags: isPlain ? 'wx' : 'w', highWaterMark: WRITE_BYTES });
  try {
    await pipeline(archive, file);
    if (isPlain) await rename(target, path);
  } catch (error) {
    if (isPlain) await rm(target, { force: true });
    if (archive.errored === error && file.errored === null) throw brokenOff(error);
    throw new Error(`write "${path}": ${(error as Error).message}`, { cause: error });
  }
}

async function isPlainOrMissing(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    throw error;
  }
}

function brokenOff(cause: unknown): Error {
  return new Error('save: hyperd has broken off; its log says why', { cause });
}
