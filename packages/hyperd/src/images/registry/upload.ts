import type { Digest } from '../../ids.ts';
import { type Answer, header, refusal } from './answers.ts';
import { Failure, LocalFailure } from './failure.ts';
import { pullScope } from './pull-manifest.ts';
import { resolveLocation } from './redirects.ts';
import type { BlobSource } from './registry.ts';
import type { Session, SessionRequest } from './session.ts';

/** Up to here a blob is sent with one request, and above in chunks of this size at least. */
export const CHUNK_BYTES = 32 * 1024 * 1024;
const OCTETS = { 'content-type': 'application/octet-stream' };

export function pushScope(path: string): string {
  return `repository:${path}:pull,push`;
}

/** Whether a repository has a blob (distribution-spec, checking if content exists). Rejects with Failure. */
export async function hasBlob(session: Session, path: string, digest: Digest): Promise<boolean> {
  const answer = await session.send({
    method: 'HEAD',
    url: `${path}/blobs/${digest}`,
    scopes: [pushScope(path)],
  });
  if (answer.status !== 200 && answer.status !== 404) throw await refusal(answer);
  await answer.discard();
  return answer.status === 200;
}

/** Asks for a blob of another repository (distribution-spec, mounting a blob). False where the registry wants it uploaded. Rejects with Failure. */
export async function mountBlob(
  session: Session,
  path: string,
  digest: Digest,
  from: string,
): Promise<boolean> {
  const query = `mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(from)}`;
  const scopes = [pushScope(path), pullScope(from)];
  const answer = await session.send({ method: 'POST', url: `${path}/blobs/uploads/?${query}`, scopes });
  if (answer.status !== 201 && answer.status !== 202) {
    const failure = await refusal(answer);
    if (failure.retry !== 'never') throw failure;
    return false; // the other repository may be closed to the caller
  }
  await answer.discard();
  if (answer.status === 202) await cancelUpload(session, path, locationOf(answer, session));
  return answer.status === 201;
}

/** Stores a manifest under a tag or digest (distribution-spec, pushing manifests). Rejects with Failure. */
export async function putManifest(
  session: Session,
  path: string,
  tagOrDigest: string,
  { bytes, mediaType }: { readonly bytes: Buffer; readonly mediaType: string },
): Promise<void> {
  const answer = await session.send({
    ...{ method: 'PUT', url: `${path}/manifests/${tagOrDigest}`, body: bytes, headersMs: session.commitMs },
    ...{ headers: { 'content-type': mediaType }, scopes: [pushScope(path)] },
  });
  await finish(answer, [200, 201, 202, 204]);
}

/** One blob's way into a repository, over several tries: each goes on where the last one ended (distribution-spec, pushing blobs). */
export class Upload {
  readonly #path: string;
  readonly #source: BlobSource;
  readonly #onBytes: (sent: number) => void;
  /** Where the next request goes; undefined before the registry has given a place. */
  #location: URL | undefined;
  /** Bytes that the registry has. */
  #offset = 0;
  /** The last try ended in a way that leaves open how much the registry has. */
  #isUncertain = false;
  #chunkBytes = CHUNK_BYTES;
  #highest = 0;

  constructor(path: string, source: BlobSource, onBytes: (sent: number) => void) {
    this.#path = path;
    this.#source = source;
    this.#onBytes = onBytes;
  }

  /** The most bytes that the registry has been known to have. */
  get confirmedBytes(): number {
    return this.#highest;
  }

  /** One try. Rejects with Failure, and with LocalFailure where the source cannot be read. */
  async attempt(session: Session): Promise<void> {
    if (this.#isUncertain && (await this.#resume(session))) return;
    this.#location ??= await this.#begin(session);
    try {
      const isSmall = this.#source.sizeBytes <= CHUNK_BYTES && this.#offset === 0;
      if (!isSmall) await this.#sendChunks(session);
      await this.#close(session, isSmall);
    } catch (error) {
      this.#isUncertain = true;
      throw error;
    }
  }

  async #begin(session: Session): Promise<URL> {
    this.#setOffset(0);
    const answer = await this.#send(session, { method: 'POST', url: `${this.#path}/blobs/uploads/` });
    await finish(answer, [202]);
    const minimum = Number(header(answer, 'oci-chunk-min-length'));
    if (minimum > CHUNK_BYTES) this.#chunkBytes = minimum;
    return locationOf(answer, session);
  }

  /** Finds out what became of the last try. True: the blob is there. */
  async #resume(session: Session): Promise<boolean> {
    const { digest, sizeBytes } = this.#source;
    if (await hasBlob(session, this.#path, digest)) return true;
    const location = sizeBytes > CHUNK_BYTES ? this.#location : undefined;
    const answer = location && (await this.#send(session, { method: 'GET', url: location }));
    await answer?.discard();
    const isKnown = answer?.status === 204 || answer?.status === 202;
    const offset = isKnown ? parseUploadRange(header(answer, 'range')) : undefined;
    if (!answer || offset === undefined || offset > sizeBytes) {
      this.#location = undefined; // begun anew
    } else {
      if (header(answer, 'location') !== undefined) this.#location = locationOf(answer, session);
      this.#setOffset(offset);
    }
    this.#isUncertain = false;
    return false;
  }

  async #sendChunks(session: Session): Promise<void> {
    const { sizeBytes } = this.#source;
    while (this.#offset < sizeBytes) {
      const end = Math.min(this.#offset + this.#chunkBytes, sizeBytes);
      const headers = {
        ...OCTETS,
        'content-length': `${end - this.#offset}`,
        'content-range': `${this.#offset}-${end - 1}`,
      };
      const body = this.#bytes(this.#offset, end);
      const answer = await this.#send(session, {
        method: 'PATCH',
        url: this.#location as URL,
        headers,
        body,
      });
      if (answer.status === 416) {
        await answer.discard();
        throw new Failure('unavailable', `${answer.url.host} has not got the bytes before ${this.#offset}`, {
          retry: 'soon',
        });
      }
      await finish(answer, [202, 201, 204]);
      this.#location = locationOf(answer, session);
      const confirmed = parseUploadRange(header(answer, 'range')) ?? end;
      if (confirmed <= this.#offset || confirmed > end)
        throw new Failure('unavailable', `${answer.url.host} took bytes up to ${end} and says ${confirmed}`, {
          retry: 'soon',
        });
      this.#setOffset(confirmed);
    }
  }

  async #close(session: Session, isWhole: boolean): Promise<void> {
    const { digest, sizeBytes } = this.#source;
    const url = new URL(this.#location as URL);
    // Appended as text: the rest of the query is the registry's own and must come back as it was.
    url.search = `${url.search === '' ? '?' : `${url.search}&`}digest=${encodeURIComponent(digest)}`;
    const body = isWhole && sizeBytes > 0 ? { body: this.#bytes(0, sizeBytes) } : {};
    const headers = { ...OCTETS, 'content-length': `${isWhole ? sizeBytes : 0}` };
    await finish(
      await this.#send(session, { method: 'PUT', url, headers, headersMs: session.commitMs, ...body }),
      [201, 204],
    );
    this.#setOffset(sizeBytes);
  }

  /** The source's bytes for a request's body, counted as they go. */
  #bytes(from: number, end: number): () => AsyncIterable<Uint8Array> {
    const source = this.#source;
    const onBytes = this.#onBytes;
    return async function* () {
      let at = from;
      try {
        for await (const chunk of source.read(from)) {
          const part = chunk.subarray(0, end - at);
          at += part.length;
          yield part;
          onBytes(at);
          if (at >= end) return;
        }
      } catch (error) {
        throw new LocalFailure(error);
      }
      if (at < end)
        throw new LocalFailure(new Error(`blob ${source.digest} ends at byte ${at} of ${source.sizeBytes}`));
    };
  }

  #setOffset(offset: number): void {
    this.#offset = offset;
    this.#highest = Math.max(this.#highest, offset);
    this.#onBytes(offset);
  }

  #send(session: Session, request: Omit<SessionRequest, 'scopes'>): Promise<Answer> {
    return session.send({ ...request, scopes: [pushScope(this.#path)] });
  }
}

/** Tells the registry that an upload will not come. It would drop it by itself, later: what it answers does not matter. */
async function cancelUpload(session: Session, path: string, location: URL): Promise<void> {
  try {
    const answer = await session.send({ method: 'DELETE', url: location, scopes: [pushScope(path)] });
    await answer.discard();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
  }
}

async function finish(answer: Answer, wanted: readonly number[]): Promise<void> {
  if (!wanted.includes(answer.status)) throw await refusal(answer);
  await answer.discard();
}

/** The upload's next place; a registry behind a proxy with TLS may take itself to be spoken to over HTTP. */
function locationOf(answer: Answer, { endpoint }: Session): URL {
  const location = header(answer, 'location');
  if (location === undefined)
    throw new Failure('unavailable', `${answer.url.host} gives no place for the upload`);
  const url = URL.parse(location, answer.url);
  const ours = new URL(endpoint.origin);
  if (url?.protocol === 'http:' && ours.protocol === 'https:' && url.hostname === ours.hostname)
    return new URL(url.pathname + url.search, ours);
  return resolveLocation(location, answer.url);
}

/** How many bytes `0-LAST` stands for; registries say `0-0` where they have none. */
export function parseUploadRange(value: string | undefined): number | undefined {
  const match = /^\s*(?:bytes=)?0-(\d{1,15})\s*$/i.exec(value ?? '');
  if (!match) return undefined;
  const last = Number(match[1]);
  return last === 0 ? 0 : last + 1;
}
