import type { Transport } from './transport.ts';
import type { VolumeInfo } from './types.ts';

/** The named volumes of a daemon. Calls reject with ApiError. */
export class Volumes {
  readonly #http: Transport;

  constructor(transport: Transport) {
    this.#http = transport;
  }

  /** By name, without their sizes. */
  async list(): Promise<VolumeInfo[]> {
    return (await this.#http.json<{ volumes: VolumeInfo[] }>('GET', '/volume/list')).volumes;
  }

  info(name: string): Promise<VolumeInfo> {
    return this.#http.json('GET', '/volume/info', { query: { volumeName: name } });
  }

  /** Rejects with status 409 where there is one of that name. */
  async create(
    name: string,
    { labels = {} }: { readonly labels?: Readonly<Record<string, string>> } = {},
  ): Promise<void> {
    const query = { volumeName: name, labels: JSON.stringify(labels) };
    await this.#http.json('POST', '/volume/create', { query });
  }

  /** With all that is in it. Rejects with status 409 where a pod uses it. */
  async remove(name: string): Promise<void> {
    await this.#http.json('DELETE', '/volume', { query: { volumeName: name } });
  }

  /** Removes all that no pod uses. */
  async prune(): Promise<{ readonly removed: readonly string[]; readonly reclaimedBytes: number }> {
    const { Removed, SpaceReclaimed } = await this.#http.json<{ Removed: string[]; SpaceReclaimed: number }>(
      'POST',
      '/volume/prune',
    );
    return { removed: Removed, reclaimedBytes: SpaceReclaimed };
  }
}
