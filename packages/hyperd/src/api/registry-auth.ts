import type { Readable } from 'node:stream';
import { HyperError, messageOf } from '../errors.ts';
import type { RegistryAuth } from '../images/image-service.ts';
import { readBody } from './request-body.ts';

const AUTH_LIMIT_BYTES = 64 * 1024;

/**
 * The credentials of an `X-Registry-Auth` header: base64 or base64url of Docker's AuthConfig. What cannot be read is anonymous, as in
 * the original.
 */
export function registryAuth(header: string | readonly string[] | undefined): RegistryAuth | undefined {
  if (typeof header !== 'string' || header === '') return undefined;
  try {
    return authOf(JSON.parse(Buffer.from(header, 'base64').toString('utf8'))); // reads both alphabets
  } catch {
    return undefined;
  }
}

/** The credentials of Docker's AuthConfig, whose keys match in any case; undefined where it holds none. */
export function authOf(json: unknown): RegistryAuth | undefined {
  if (typeof json !== 'object' || json === null) return undefined;
  const given = new Map(Object.entries(json).map(([key, value]) => [key.toLowerCase(), value]));
  const text = (key: string): string | undefined => {
    const value: unknown = given.get(key);
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const [username, password] = pairOf(text('auth')) ?? [text('username'), text('password')];
  const auth = {
    ...{ username, password, identityToken: text('identitytoken') },
    ...{ registryToken: text('registrytoken'), serverAddress: text('serveraddress') },
  };
  const known = Object.entries(auth).filter(([, value]) => value !== undefined);
  return known.length > 0 ? (Object.fromEntries(known) as RegistryAuth) : undefined;
}

/**
 * The credentials that a request's body holds: Docker's AuthConfig as JSON, of any content type; undefined where there is no body.
 * Throws `invalid-argument` that begins with `what`.
 */
export async function authOfBody(body: Readable, what: string): Promise<RegistryAuth | undefined> {
  const text = (await readBody(body, AUTH_LIMIT_BYTES)).trim();
  if (text === '') return undefined;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new HyperError('invalid-argument', `${what}: ${messageOf(error)}`, { cause: error });
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new HyperError('invalid-argument', `${what}: want an object of username, password, serveraddress`);
  }
  return authOf(json);
}

/** User and password of Docker's `auth` field: base64 of `user:password`. */
function pairOf(auth: string | undefined): [string, string] | undefined {
  if (auth === undefined) return undefined;
  const pair = Buffer.from(auth, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  return colon > 0 ? [pair.slice(0, colon), pair.slice(colon + 1)] : undefined;
}
