import type { IncomingHttpHeaders } from 'node:http';

/** Numbers of a version prefix: `[1, 17]` of `/v1.17/info`. */
export type ApiVersion = readonly number[];

/**
 * The version in a `User-Agent` of the original's client, which has another one in the prefix of hijacked calls; undefined for other
 * clients.
 */
export function clientVersion(headers: IncomingHttpHeaders): ApiVersion | undefined {
  const [, numbers] = /\bHyper-Client\/(\d[0-9.]*)/.exec(headers['user-agent'] ?? '') ?? [];
  return numbers?.split('.').map(Number);
}

/** Splits the optional prefix `/v` digits and dots off a request's URL. Every version is accepted. */
export function splitVersion(url: string): {
  readonly version: ApiVersion | undefined;
  readonly url: string;
} {
  const [, numbers, rest] = /^\/v([0-9.]+)(\/.*)$/.exec(url) ?? [];
  if (numbers === undefined || rest === undefined) return { version: undefined, url };
  return { version: numbers.split('.').map(Number), url: rest };
}

/** True when the client spoke a version below `bound`; false without a prefix. */
export function isBelow(version: ApiVersion | undefined, bound: ApiVersion): boolean {
  if (!version) return false;
  for (const [index, number] of bound.entries()) {
    const own = version[index] ?? 0;
    if (own !== number) return own < number;
  }
  return false;
}
