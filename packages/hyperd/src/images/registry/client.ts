import { HyperError, messageOf } from '../../errors.ts';
import type { Digest } from '../../ids.ts';
import type { RegistryAuth } from '../image-service.ts';
import type { Reference } from '../reference.ts';
import { refusal } from './answers.ts';
import { Authorizer } from './auth.ts';
import { Certificates } from './certificates.ts';
import { Connections } from './connections.ts';
import { Failure } from './failure.ts';
import { domainOfServer, type Endpoint, Hosts } from './hosts.ts';
import { pullBlob } from './pull-blob.ts';
import { listTags, pullManifest } from './pull-manifest.ts';
import type {
  BlobSink,
  BlobSource,
  ManifestAnswer,
  RegistryCall,
  RegistryClient,
  RegistryOptions,
  Repository,
  RetryListener,
} from './registry.ts';
import { asHyperError, retried } from './retry.ts';
import { Session, type SessionParts } from './session.ts';
import { DEFAULT_TIMING, type Timing } from './timing.ts';
import { hasBlob, mountBlob, putManifest, Upload } from './upload.ts';

interface Parts extends SessionParts {
  readonly hosts: Hosts;
}

/** A client for all registries of a daemon. `timing` replaces defaults. Throws `invalid-argument` for a mirror that is no URL. */
export function createRegistryClient(options: RegistryOptions, timing: Partial<Timing> = {}): RegistryClient {
  const certificates = new Certificates(options.certsDirectories);
  const connections = new Connections(certificates, options.env, { ...DEFAULT_TIMING, ...timing });
  try {
    return new Client({
      connections,
      hosts: new Hosts(options, connections),
      authorizer: new Authorizer(connections),
    });
  } catch (error) {
    throw asHyperError(error, 'set up registries');
  }
}

class Client implements RegistryClient {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  repository(reference: Reference, call: RegistryCall): Repository {
    return new RemoteRepository(this.#parts, reference, call);
  }

  async checkLogin(auth: RegistryAuth, signal?: AbortSignal): Promise<void> {
    const server = auth.serverAddress ?? '';
    const what = `login to "${server.slice(0, 300)}"`;
    const { connections, hosts } = this.#parts;
    const ended = endOf(signal, connections);
    try {
      await retried({ what, timing: connections.timing, signal: ended, onRetry: undefined }, async () => {
        const endpoint = await hosts.registry(domainOfServer(server), ended);
        const answer = await new Session(this.#parts, endpoint, auth, ended).prove();
        if (answer.status === 404) throw new Failure('unavailable', `${answer.url.host} has no registry API`);
        if (answer.status !== 200) throw await refusal(answer);
        await answer.discard();
      });
    } catch (error) {
      if (!(error instanceof HyperError) || error.code !== 'unauthorized') throw error;
      throw new HyperError(
        'unauthorized',
        `${what}: Wrong login/password, please try again (${messageOf(error.cause)})`,
        { cause: error },
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.connections[Symbol.asyncDispose]();
  }
}

class RemoteRepository implements Repository {
  readonly #parts: Parts;
  readonly #domain: string;
  readonly #path: string;
  readonly #call: RegistryCall;
  readonly #signal: AbortSignal;

  constructor(parts: Parts, { domain, path }: Reference, call: RegistryCall) {
    this.#parts = parts;
    this.#domain = domain;
    this.#path = path;
    this.#call = call;
    this.#signal = endOf(call.signal, parts.connections);
  }

  manifest(tagOrDigest: string): Promise<ManifestAnswer> {
    return this.#retried(`pull manifest ${tagOrDigest} of`, {}, () =>
      this.#anywhere((session) => pullManifest(session, this.#path, tagOrDigest)),
    );
  }

  blob(digest: Digest, sizeBytes: number, sink: BlobSink, onRetry?: RetryListener): Promise<void> {
    let most = 0;
    const transferred = (): number => {
      most = Math.max(most, sink.sizeBytes);
      return most;
    };
    return this.#retried(`pull blob ${digest} of`, { onRetry, transferred }, () =>
      this.#anywhere((session) => pullBlob(session, this.#path, { digest, sizeBytes }, sink)),
    );
  }

  tags(): Promise<string[]> {
    return this.#retried('list tags of', {}, () => this.#there((session) => listTags(session, this.#path)));
  }

  hasBlob(digest: Digest): Promise<boolean> {
    return this.#retried(`look for blob ${digest} in`, {}, () =>
      this.#there((session) => hasBlob(session, this.#path, digest)),
    );
  }

  mountBlob(digest: Digest, from: string): Promise<boolean> {
    return this.#retried(`mount blob ${digest} of ${from} in`, {}, () =>
      this.#there((session) => mountBlob(session, this.#path, digest, from)),
    );
  }

  uploadBlob(source: BlobSource, onBytes: (sent: number) => void, onRetry?: RetryListener): Promise<void> {
    const upload = new Upload(this.#path, source, onBytes);
    const transferred = (): number => upload.confirmedBytes;
    return this.#retried(`push blob ${source.digest} to`, { onRetry, transferred }, () =>
      this.#there((session) => upload.attempt(session)),
    );
  }

  putManifest(tagOrDigest: string, bytes: Buffer, mediaType: string): Promise<void> {
    return this.#retried(`push manifest ${tagOrDigest} to`, {}, () =>
      this.#there((session) => putManifest(session, this.#path, tagOrDigest, { bytes, mediaType })),
    );
  }

  #retried<T>(
    action: string,
    { onRetry, transferred }: { onRetry?: RetryListener | undefined; transferred?: () => number },
    work: () => Promise<T>,
  ): Promise<T> {
    const what = `${action} ${this.#domain}/${this.#path}`;
    const { timing } = this.#parts.connections;
    const listener = onRetry ?? this.#call.onRetry;
    return retried(
      { what, timing, signal: this.#signal, onRetry: listener, ...(transferred && { transferred }) },
      work,
    );
  }

  /** Asks the mirrors in order, then the registry itself; a mirror's failure is never the last word. */
  async #anywhere<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const failed: string[] = [];
    for (const mirror of this.#parts.hosts.mirrors(this.#domain)) {
      try {
        return await work(this.#session(mirror));
      } catch (error) {
        if (!(error instanceof Failure) || this.#signal.aborted) throw error;
        failed.push(`mirror ${mirror.base}: ${error.message}`);
        if (error.code === 'unavailable') this.#parts.hosts.rest(mirror);
      }
    }
    try {
      return await this.#there(work);
    } catch (error) {
      if (failed.length === 0 || !(error instanceof Failure)) throw error;
      const { code, retry, message } = error;
      throw new Failure(code, `${message} (${failed.join('; ')})`, { retry, cause: error });
    }
  }

  /** Asks the registry itself. */
  async #there<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const { hosts } = this.#parts;
    const endpoint: Endpoint = await hosts.registry(this.#domain, this.#signal);
    try {
      return await work(this.#session(endpoint));
    } catch (error) {
      if (error instanceof Failure && error.code === 'unavailable') hosts.forget(this.#domain);
      throw error;
    }
  }

  #session(endpoint: Endpoint): Session {
    return new Session(this.#parts, endpoint, this.#call.auth, this.#signal);
  }
}

/** Aborted by the caller, or with the client. */
function endOf(signal: AbortSignal | undefined, { closing }: Connections): AbortSignal {
  return signal ? AbortSignal.any([signal, closing]) : closing;
}
