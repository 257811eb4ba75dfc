import { HyperError } from '../../errors.ts';
import type { RegistryAuth } from '../image-service.ts';

/** What a 401 asks for (RFC 7235, distribution-spec's token flow). */
export type Challenge =
  | { readonly scheme: 'basic' }
  | { readonly scheme: 'bearer'; readonly realm: string; readonly service: string; readonly scope: string };

/** Reads a WWW-Authenticate header. Throws `unavailable` for a scheme that is neither Basic nor Bearer. */
export function parseChallenge(header: string): Challenge {
  const space = header.indexOf(' ');
  const scheme = (space < 0 ? header : header.slice(0, space)).toLowerCase();
  if (scheme === 'basic') return { scheme: 'basic' };
  if (scheme !== 'bearer')
    throw new HyperError(
      'unavailable',
      `log in to registry: it asks for "${scheme.slice(0, 40)}", want Basic or Bearer`,
    );
  const parameters = new Map<string, string>();
  for (const [, key, quoted, plain] of header
    .slice(space + 1)
    .matchAll(/([a-z_]+)=(?:"([^"]*)"|([^\s,]+))/gi))
    parameters.set((key as string).toLowerCase(), quoted ?? plain ?? '');
  const realm = parameters.get('realm');
  if (!realm) throw new HyperError('unavailable', 'log in to registry: its challenge names no realm');
  return { scheme, realm, service: parameters.get('service') ?? '', scope: parameters.get('scope') ?? '' };
}

/** The header for user name and password; undefined without them. */
export function basicHeader(auth: RegistryAuth | undefined): string | undefined {
  if (!auth?.username) return undefined;
  return `Basic ${Buffer.from(`${auth.username}:${auth.password ?? ''}`).toString('base64')}`;
}
