import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** What a client shows a daemon, and knows it by. */
export interface TlsFiles {
  /** Authorities whose certificates a daemon may have. */
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Where certificates are when nobody says: `HYPER_TLS_DIR`, else `~/.config/hyper/tls`. */
export function defaultTlsDirectory(env: Readonly<Record<string, string | undefined>>): string {
  return env.HYPER_TLS_DIR || join(env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'hyper/tls');
}

/** Reads `ca.pem`, `cert.pem` and `key.pem`. Throws an Error that names the one that cannot be read. */
export function readTlsFiles(directory: string): TlsFiles {
  const read = (name: string): Buffer => {
    const path = join(directory, name);
    try {
      return readFileSync(path);
    } catch (error) {
      throw new Error(
        `read TLS file ${path}: ${(error as Error).message}; want ca.pem, cert.pem and key.pem in ${directory}`,
        { cause: error },
      );
    }
  };
  return { ca: read('ca.pem'), cert: read('cert.pem'), key: read('key.pem') };
}
