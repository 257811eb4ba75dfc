import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { messageOf } from '../../errors.ts';
import { Failure } from './failure.ts';

const MAX_FILES = 1000;
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const MAX_KEPT = 64;

/** What a host is spoken to with over TLS. */
export interface HostTls {
  /** Equal for equal files: connections made with others are of no use. */
  readonly key: string;
  readonly context: SecureContext;
  /** The authorities that are believed, for messages. */
  readonly authorities: string;
}

interface Found {
  readonly authorities: readonly string[];
  readonly clients: readonly { readonly cert: string; readonly key: string }[];
  readonly unreadable: readonly string[];
  /** Of the files' names, times and sizes. */
  readonly fingerprint: string;
}

/**
 * Authorities and client certificates of registries, in directories `HOST:PORT` below the given ones: `*.crt` and `NAME.cert` with `NAME.key`, as Docker
 * has them. Files that change are read again with the next connection.
 */
export class Certificates {
  readonly #directories: readonly string[];
  readonly #kept = new Map<string, HostTls>();

  constructor(directories: readonly string[]) {
    this.#directories = directories;
  }

  /** Whether a host has a directory. */
  async has(host: string): Promise<boolean> {
    const found = await this.#find(host);
    return found.authorities.length > 0 || found.clients.length > 0;
  }

  /**
   * For a connection to `host`, in a conversation that `alsoTrusted` began: a registry's token server and storage may bear certificates of the
   * registry's authority. Client certificates are the host's own. Throws `unavailable`.
   */
  async of(host: string, alsoTrusted: readonly string[]): Promise<HostTls> {
    const own = await this.#find(host);
    const others = await Promise.all(
      alsoTrusted.filter((name) => name !== host).map((name) => this.#find(name)),
    );
    const authorities = [...new Set([own, ...others].flatMap((found) => found.authorities))];
    const clients = own.clients;
    const shared = others.map(({ fingerprint }) => fingerprint).filter((fingerprint) => fingerprint !== '');
    const key = [own.fingerprint, ...shared].join('\0');
    const kept = this.#kept.get(key);
    if (kept) return kept;
    const unreadable = [own, ...others].flatMap((found) => found.unreadable);
    const names = [
      "the system's",
      ...authorities,
      ...unreadable.map((path) => `not ${path}, which cannot be read`),
    ];
    const context = await this.#context(host, authorities, clients);
    const made = { key, context, authorities: names.join(', ') };
    this.#kept.set(key, made);
    for (const oldest of this.#kept.keys()) if (this.#kept.size > MAX_KEPT) this.#kept.delete(oldest);
    return made;
  }

  async #context(
    host: string,
    authorities: readonly string[],
    clients: Found['clients'],
  ): Promise<SecureContext> {
    try {
      const own = await Promise.all(authorities.map((path) => readBounded(path)));
      const cert = await Promise.all(clients.map((pair) => readBounded(pair.cert)));
      const key = await Promise.all(clients.map((pair) => readBounded(pair.key)));
      return createSecureContext({
        ca: [...new Set([...getCACertificates('default'), ...getCACertificates('system'), ...own])],
        ...(cert.length > 0 && { cert, key }),
      });
    } catch (error) {
      if (error instanceof Failure) throw error;
      const files = [...authorities, ...clients.flatMap((pair) => [pair.cert, pair.key])].join(', ');
      throw new Failure(
        'unavailable',
        `read the certificates for ${host}: ${messageOf(error)}; files ${files}`,
        { cause: error },
      );
    }
  }

  async #find(host: string): Promise<Found> {
    const authorities: string[] = [];
    const clients: { cert: string; key: string }[] = [];
    const unreadable: string[] = [];
    const marks: string[] = [];
    const paths = this.#directories.flatMap((directory) =>
      directoryNames(host).map((name) => join(directory, name)),
    );
    for (const path of paths) {
      const names = await filesOf(path, unreadable);
      for (const name of names.slice(0, MAX_FILES)) {
        const file = join(path, name);
        if (!/\.(?:crt|cert|key)$/.test(name)) continue;
        const mark = await markOf(file);
        if (mark === undefined) continue; // removed since
        marks.push(mark);
        if (name.endsWith('.crt')) authorities.push(file);
        if (name.endsWith('.cert')) clients.push({ cert: file, key: keyOf(file, names) });
      }
    }
    return { authorities, clients, unreadable, fingerprint: marks.join('\n') };
  }
}

/** URLs leave the usual port away, references of images may have it. */
function directoryNames(host: string): string[] {
  if (/^\.*$|[/\\\0]/.test(host)) return [];
  return /:\d+$/.test(host) ? [host] : [host, `${host}:443`];
}

function keyOf(cert: string, names: readonly string[]): string {
  const key = cert.replace(/cert$/, 'key');
  if (names.includes(key.slice(key.lastIndexOf('/') + 1))) return key;
  throw new Failure('unavailable', `use client certificate ${cert}: its key ${key} is missing`);
}

async function filesOf(path: string, unreadable: string[]): Promise<string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') unreadable.push(path);
    return [];
  }
}

async function markOf(file: string): Promise<string | undefined> {
  try {
    const { mtimeMs, ctimeMs, size, ino } = await stat(file);
    return [file, mtimeMs, ctimeMs, size, ino].join(' ');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Failure('unavailable', `read certificate ${file}: ${messageOf(error)}`, { cause: error });
  }
}

async function readBounded(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size <= MAX_FILE_BYTES) return await readFile(path, 'utf8');
  throw new Failure(
    'unavailable',
    `read certificate ${path}: it has ${size} bytes, at most ${MAX_FILE_BYTES} are read`,
  );
}
