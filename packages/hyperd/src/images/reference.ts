import { HyperError } from '../errors.ts';
import { asDigest, type Digest } from '../ids.ts';

/** An image reference after Docker's rules (distribution/reference): defaults filled in, nothing unchecked. */
export interface Reference {
  /** `docker.io`, `localhost:5000` */
  readonly domain: string;
  /** `library/busybox` */
  readonly path: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

const DEFAULT_DOMAIN = 'docker.io';
const OFFICIAL = 'library/';
const MAX_NAME = 255;
const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const PATH = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const DOMAIN =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::\d+)?$|^\[[0-9a-fA-F:]+\](?::\d+)?$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

/** Reads `text` by Docker's rules. A missing tag stays undefined. Throws `invalid-argument`. */
export function parseReference(text: string): Reference {
  const refuse = (why: string): never => {
    throw new HyperError(
      'invalid-argument',
      `invalid reference format: image "${text.slice(0, 300)}": ${why}`,
    );
  };
  if (text.length > MAX_NAME * 3) refuse('it is too long');
  const [beforeDigest = '', digestText, ...more] = text.split('@');
  if (more.length > 0) refuse('it has more than one "@"');
  const digest = digestText === undefined ? undefined : asDigest(digestText);
  if (digestText !== undefined && digest === undefined) refuse('want a digest of sha256: and 64 hex digits');
  const colon = beforeDigest.lastIndexOf(':');
  const hasTag = colon > beforeDigest.lastIndexOf('/');
  const tag = hasTag ? beforeDigest.slice(colon + 1) : undefined;
  if (tag !== undefined && !TAG.test(tag))
    refuse(`want a tag of letters, digits, "_", "." and "-", at most 128`);
  const { domain, path } = splitDomain(hasTag ? beforeDigest.slice(0, colon) : beforeDigest);
  if (!DOMAIN.test(domain)) refuse(`"${domain}" is no registry host`);
  if (!PATH.test(path))
    refuse('a repository name is of lower case letters and digits, parted by "/", ".", "_" or "-"');
  if (domain.length + path.length + 1 > MAX_NAME) refuse(`its name is longer than ${MAX_NAME} characters`);
  return { domain, path, tag, digest };
}

function splitDomain(name: string): { domain: string; path: string } {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(0, slash));
  const isDomain =
    slash > 0 && (/[.:[]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  const domain = isDomain ? first : DEFAULT_DOMAIN;
  const path = isDomain ? name.slice(slash + 1) : name;
  if (domain === 'index.docker.io') return splitOfficial(DEFAULT_DOMAIN, path);
  return splitOfficial(domain, path);
}

function splitOfficial(domain: string, path: string): { domain: string; path: string } {
  return { domain, path: domain === DEFAULT_DOMAIN && !path.includes('/') ? OFFICIAL + path : path };
}

/** Whether it names a repository only. */
export function isNameOnly({ tag, digest }: Reference): boolean {
  return tag === undefined && digest === undefined;
}

/** The reference with the tag `latest` where it has neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  return isNameOnly(reference) ? { ...reference, tag: 'latest' } : reference;
}

/** The repository as users write it: without default registry and `library/`. */
export function familiarName({ domain, path }: Reference): string {
  if (domain !== DEFAULT_DOMAIN) return `${domain}/${path}`;
  return path.startsWith(OFFICIAL) ? path.slice(OFFICIAL.length) : path;
}

/** `busybox:latest`, `busybox@sha256:…` */
export function familiar(reference: Reference): string {
  return familiarName(reference) + suffix(reference);
}

/** `docker.io/library/busybox` */
export function canonicalName({ domain, path }: Reference): string {
  return `${domain}/${path}`;
}

/** `docker.io/library/busybox:latest`: one text for one image name. */
export function canonical(reference: Reference): string {
  return canonicalName(reference) + suffix(reference);
}

function suffix({ tag, digest }: Reference): string {
  return (tag === undefined ? '' : `:${tag}`) + (digest === undefined ? '' : `@${digest}`);
}

/** `name` with `tag` (a tag or a digest) in place of its own, where one is given. */
export function withTag(name: string, tag: string): string {
  if (tag === '') return name;
  return `${familiarName(parseReference(name))}${tag.includes(':') ? '@' : ':'}${tag}`;
}
