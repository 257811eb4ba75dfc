import { HyperError } from '../errors.ts';

/** What a client of the API may do. */
export type Permission =
  | { readonly kind: 'all' }
  /** Look at everything, change nothing. */
  | { readonly kind: 'read' }
  /** Do everything with the pods whose ids match, and with nothing else. */
  | { readonly kind: 'pods'; readonly patterns: readonly string[] }
  | { readonly kind: 'none' };

/** Permissions by client: the common name of a certificate, the URL of a listener, or `*` for every other certificate. */
export type AccessRules = ReadonlyMap<string, Permission>;

export const ACCESS_TEXT = 'all, read, none, or pods with patterns, such as "pods ci-* build-*"';
const MAX_PATTERNS = 64;
const PATTERN = /^[\w.*-]{1,128}$/;

/** Reads the value of one client's rule. Throws `invalid-argument` that begins with `where`. */
export function parsePermission(value: string, where: string): Permission {
  const [kind = '', ...patterns] = value.trim().split(/\s+/);
  const isKnown = ['all', 'read', 'none'].includes(kind) && patterns.length === 0;
  if (isKnown) return { kind } as Permission;
  const arePatterns = patterns.length > 0 && patterns.every((pattern) => PATTERN.test(pattern));
  if (kind === 'pods' && arePatterns && patterns.length <= MAX_PATTERNS) return { kind, patterns };
  throw new HyperError('invalid-argument', `${where} is "${value}"; want ${ACCESS_TEXT}`);
}

/** Whether `name` matches `pattern`, in which `*` stands for any text. Takes time in proportion to both lengths. */
export function matches(pattern: string, name: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  if (rest.length === 0) return name === pattern;
  const last = rest.pop() ?? '';
  if (!name.startsWith(first) || !name.endsWith(last)) return false;
  let from = first.length;
  for (const part of rest) {
    const at = name.indexOf(part, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return from + last.length <= name.length;
}
