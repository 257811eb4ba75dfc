import type { RegistryAuth } from '../images/image-service.ts';

/**
 * The credentials of an `X-Registry-Auth` header: base64 or base64url of Docker's AuthConfig. What cannot be read is anonymous, as in
 * the original.
 */
export function registryAuth(header: string | readonly string[] | undefined): RegistryAuth | undefined {
  if (typeof header !== 'string' || header === '') return undefined;
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(header, 'base64').toString('utf8')); // reads both alphabets
  } catch {
    return undefined;
  }
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

/** User and password of Docker's `auth` field: base64 of `user:password`. */
function pairOf(auth: string | undefined): [string, string] | undefined {
  if (auth === undefined) return undefined;
  const pair = Buffer.from(auth, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  return colon > 0 ? [pair.slice(0, colon), pair.slice(colon + 1)] : undefined;
}
