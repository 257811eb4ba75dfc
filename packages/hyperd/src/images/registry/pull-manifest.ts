import { createHash } from 'node:crypto';
import { asDigest } from '../../ids.ts';
import { MAX_MANIFEST_BYTES, MEDIA } from '../../oci/documents.ts';
import { type Answer, collect, header, refusal } from './answers.ts';
import { Failure } from './failure.ts';
import type { ManifestAnswer } from './registry.ts';
import type { Session } from './session.ts';

const ACCEPT = [MEDIA.ociIndex, MEDIA.dockerList, MEDIA.ociManifest, MEDIA.dockerManifest].join(', ');
const MAX_TAGS = 10_000;
const MAX_TAG_PAGE_BYTES = 4 * 1024 * 1024;
const PAGE_TAGS = 1000;

export function pullScope(path: string): string {
  return `repository:${path}:pull`;
}

/** A manifest or index (distribution-spec, pulling manifests). Rejects with Failure: `corrupt` for another than the digest asked for. */
export async function pullManifest(
  session: Session,
  path: string,
  tagOrDigest: string,
): Promise<ManifestAnswer> {
  const url = `${path}/manifests/${tagOrDigest}`;
  const answer = await session.send({
    method: 'GET',
    url,
    headers: { accept: ACCEPT },
    scopes: [pullScope(path)],
  });
  if (answer.status === 404) throw new Failure('not-found', `not found: ${(await refusal(answer)).message}`);
  if (answer.status !== 200) throw await refusal(answer);
  const bytes = await collect(answer, MAX_MANIFEST_BYTES);
  const expected = asDigest(tagOrDigest);
  const got = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  if (expected !== undefined && got !== expected)
    throw new Failure('corrupt', `expected ${expected}, got ${got}`);
  const mediaType = (header(answer, 'content-type') ?? '').split(';')[0]?.trim() ?? '';
  return { bytes, mediaType, digest: asDigest(header(answer, 'docker-content-digest') ?? '') };
}

/** All tags of a repository, page by page (distribution-spec, listing tags). Rejects with Failure: `limit` for more than 10,000. */
export async function listTags(session: Session, path: string): Promise<string[]> {
  const tags = new Set<string>();
  let place: string | URL | undefined = `${path}/tags/list?n=${PAGE_TAGS}`;
  while (place !== undefined) {
    const before = tags.size;
    const answer: Answer = await session.send({ method: 'GET', url: place, scopes: [pullScope(path)] });
    if (answer.status !== 200) throw await refusal(answer);
    const page = readTags(await collect(answer, MAX_TAG_PAGE_BYTES));
    for (const tag of page) tags.add(tag);
    if (tags.size > MAX_TAGS) throw new Failure('limit', `it has more than ${MAX_TAGS} tags`);
    place = nextPage(answer, session.endpoint.origin);
    if (place && tags.size === before)
      throw new Failure('unavailable', `${answer.url.host} gives pages without new tags`);
  }
  return [...tags];
}

function readTags(bytes: Buffer): string[] {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch (error) {
    throw new Failure('corrupt', 'the list of tags is no JSON', { cause: error });
  }
  const { tags } = (value ?? {}) as { tags?: unknown };
  if (tags === null || tags === undefined) return [];
  const isTag = (tag: unknown): boolean =>
    typeof tag === 'string' && /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/.test(tag);
  if (Array.isArray(tags) && tags.every(isTag)) return tags as string[];
  throw new Failure('corrupt', 'the list of tags holds something that is no tag');
}

/** The `rel="next"` of a Link header (RFC 8288), which stays with the registry. */
function nextPage(answer: Answer, origin: string): URL | undefined {
  const links = answer.headers.link;
  for (const [, target = '', parameters = ''] of String(links ?? '').matchAll(/<([^>]*)>([^<]*)/g)) {
    if (!/;\s*rel\s*=\s*"?(?:[^";]*\s)?next\b/i.test(parameters)) continue;
    const url = URL.parse(target, answer.url);
    if (url?.origin === origin) return url;
    throw new Failure(
      'unavailable',
      `${answer.url.host} has the next page of tags elsewhere, at "${target.slice(0, 100)}"`,
    );
  }
  return undefined;
}
