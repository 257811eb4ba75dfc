import { type Answer, header } from './answers.ts';
import type { Connections, HttpRequest, Trust } from './connections.ts';
import { Failure } from './failure.ts';

const MAX_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

export interface Authorized extends HttpRequest {
  /** Of the request's own origin; no other one gets it, nor the same one once a redirect has led away from it. */
  readonly authorization?: string | undefined;
}

/** Sends a request and goes where redirects lead; never from https to http. Rejects with Failure. */
export async function follow(connections: Connections, first: Authorized, trust: Trust): Promise<Answer> {
  let { authorization, ...request } = first;
  for (let hops = 0; ; hops++) {
    const headers = { ...request.headers, ...(authorization !== undefined && { authorization }) };
    const answer = await connections.send({ ...request, headers }, trust);
    const location = header(answer, 'location');
    if (!REDIRECTS.has(answer.status) || location === undefined) return answer;
    await answer.discard();
    if (hops >= MAX_REDIRECTS)
      throw new Failure('unavailable', `${first.url.host} redirects more than ${MAX_REDIRECTS} times`);
    if (answer.status < 307 && request.method !== 'GET' && request.method !== 'HEAD')
      throw new Failure(
        'unavailable',
        `${request.url.host} redirects ${request.method} with ${answer.status}, want 307 or 308`,
      );
    const url = resolveLocation(location, request.url);
    if (url.origin !== request.url.origin) authorization = undefined;
    request = { ...request, url };
  }
}

/** The URL of a Location header (RFC 9110, section 10.2.2). Throws `unavailable` where it is none, or leaves https. */
export function resolveLocation(location: string, base: URL): URL {
  const url = URL.parse(location, base);
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:')
    throw new Failure('unavailable', `${base.host} redirects to "${location.slice(0, 100)}", want a URL`);
  if (base.protocol === 'https:' && url.protocol === 'http:')
    throw new Failure('unavailable', `${base.host} redirects from https to http`);
  url.username = '';
  url.password = '';
  return url;
}
