import { Failure } from './failure.ts';

/** One challenge of a WWW-Authenticate header (RFC 9110, section 11.6.1). */
export interface Challenge {
  /** Lower case. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const MAX_HEADER = 16_384;
const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
const PARAMETER = /([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"=][^\s,"]*))/y;
/** Base64 of schemes such as Negotiate, in place of parameters. */
const TOKEN68 = /[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))/y;
const GAP = /[\s,]*/y;

/** Reads all challenges of all headers; stops at what is none. Never throws: what cannot be read asks for nothing. */
export function parseChallenges(headers: string | readonly string[] | undefined): Challenge[] {
  const list = headers === undefined ? [] : typeof headers === 'string' ? [headers] : headers;
  return list.flatMap((header) => parseHeader(header.slice(0, MAX_HEADER)));
}

function parseHeader(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(header);
    if (match) at += match[0].length;
    return match;
  };
  for (;;) {
    take(GAP);
    const scheme = take(TOKEN)?.[0];
    if (scheme === undefined) return challenges;
    const parameters = new Map<string, string>();
    challenges.push({ scheme: scheme.toLowerCase(), parameters });
    take(GAP);
    for (let match = take(PARAMETER); match; match = take(PARAMETER)) {
      const [, name = '', quoted, plain = ''] = match;
      parameters.set(name.toLowerCase(), quoted?.replace(/\\(.)/gs, '$1') ?? plain);
      take(GAP);
    }
    if (parameters.size === 0 && /[ \t]/.test(header[at - 1] ?? '')) take(TOKEN68);
  }
}

/** What a Bearer challenge wants (distribution's token specification). */
export interface BearerChallenge {
  readonly realm: URL;
  readonly service: string;
  /** `repository:a/b:pull,push` each. */
  readonly scopes: readonly string[];
}

/** The challenge to follow: Bearer before Basic. Throws `unavailable` where it is neither. */
export function chooseChallenge(challenges: readonly Challenge[]): 'basic' | BearerChallenge {
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
  if (bearer) return readBearer(bearer);
  if (challenges.some(({ scheme }) => scheme === 'basic')) return 'basic';
  const schemes = challenges.map(({ scheme }) => scheme.slice(0, 40)).join(', ');
  throw new Failure(
    'unavailable',
    `the registry asks for a login of kind "${schemes}", want Basic or Bearer`,
  );
}

function readBearer({ parameters }: Challenge): BearerChallenge {
  const text = parameters.get('realm') ?? '';
  const realm = URL.parse(text);
  if (realm?.protocol !== 'https:' && realm?.protocol !== 'http:')
    throw new Failure(
      'unavailable',
      `the registry sends its callers to "${text.slice(0, 100)}" for a token, want a URL`,
    );
  const scopes = (parameters.get('scope') ?? '').split(/\s+/).filter((scope) => scope !== '');
  return { realm, service: parameters.get('service') ?? '', scopes };
}

/** The scopes of both, actions of one resource joined, in a fixed order. */
export function mergeScopes(...lists: readonly (readonly string[])[]): string[] {
  const actionsOf = new Map<string, Set<string>>();
  for (const scope of lists.flat()) {
    const colon = scope.lastIndexOf(':');
    const resource = colon < 0 ? scope : scope.slice(0, colon);
    const actions = actionsOf.get(resource) ?? new Set();
    if (colon >= 0) for (const action of scope.slice(colon + 1).split(',')) actions.add(action);
    actionsOf.set(resource, actions);
  }
  return [...actionsOf]
    .map(([resource, actions]) =>
      actions.size === 0 ? resource : `${resource}:${[...actions].sort().join(',')}`,
    )
    .sort();
}
