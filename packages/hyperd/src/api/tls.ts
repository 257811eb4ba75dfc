import { readFileSync } from 'node:fs';
import type { ServerOptions } from 'node:https';
import { join } from 'node:path';
import { HyperError, messageOf } from '../errors.ts';

/** Names of the files as Docker's clients and daemons know them. */
const FILES = { ca: 'ca.pem', cert: 'cert.pem', key: 'key.pem' } as const;

/**
 * The settings of a TLS server out of `directory`: its certificate (`cert.pem`, with chain), its key (`key.pem`), and the authorities whose certificates
 * clients must have (`ca.pem`). Throws `invalid-argument` naming the file that cannot be read.
 */
export function tlsSettings(directory: string): ServerOptions {
  const read = (name: string): Buffer => {
    const path = join(directory, name);
    try {
      return readFileSync(path);
    } catch (error) {
      throw new HyperError(
        'invalid-argument',
        `read TLS file ${path}: ${messageOf(error)}; want ${Object.values(FILES).join(', ')} in ${directory}`,
        { cause: error },
      );
    }
  };
  return {
    ...{ ca: read(FILES.ca), cert: read(FILES.cert), key: read(FILES.key) },
    ...{ requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.2' },
    allowHalfOpen: true, // a client that ends its input still wants its output
  } as ServerOptions;
}
