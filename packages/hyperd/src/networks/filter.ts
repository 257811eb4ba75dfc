import { isDeepStrictEqual } from 'node:util';
import { HyperError } from '../errors.ts';
import { runHostTool } from './host-tools.ts';
import type { Network } from './network.ts';
import type { HostPort, PortForward, PortForwarder } from './port-forward.ts';
import {
  addNetworkText,
  addPortText,
  deleteText,
  type Port,
  type PublishedPort,
  parsePublished,
  publishText,
  removeNetworkText,
  removePortText,
  tablesText,
} from './ruleset.ts';

/**
 * The rules of one root in the host's packet filter: two tables of our own, and nothing else is touched. Every change is one transaction of
 * nftables. `open` is called first. Rejects `unavailable` with what nft says.
 */
export class Filter {
  readonly table: string;
  /** False: the operator wants no rules for IP, so that nothing is published, translated or kept apart. */
  readonly #filters: boolean;
  #published = new Map<string, PublishedPort>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(mark: string, { filters }: { readonly filters: boolean }) {
    this.table = `hyperd_${mark}`;
    this.#filters = filters;
  }

  /** Makes the tables, or takes up those of an earlier daemon without disturbing what goes through them. */
  async open(): Promise<void> {
    await this.#apply(tablesText(this.table, { filters: this.#filters }));
    if (!this.#filters) return;
    const listed = await runHostTool('nft', ['-j', 'list', 'table', 'ip', this.table]);
    this.#published = new Map(parsePublished(listed).map((port) => [keyOf(port), port]));
  }

  /** Whether our tables are there: somebody may have emptied the packet filter. */
  async isThere(): Promise<boolean> {
    const listed = await runHostTool('nft', ['-j', 'list', 'tables']);
    const { nftables } = JSON.parse(listed) as { nftables: readonly { table?: { name: string } }[] };
    return nftables.some(({ table }) => table?.name === this.table);
  }

  async addNetwork(network: Network): Promise<void> {
    if (this.#filters) await this.#apply(addNetworkText(this.table, network));
  }

  async removeNetwork(network: Network): Promise<void> {
    if (this.#filters) await this.#apply(removeNetworkText(this.table, network));
  }

  /** Those that are there already stay. */
  addPorts(ports: readonly Port[]): Promise<void> {
    return this.#apply(ports.map((port) => addPortText(this.table, port, this.#filters)).join(''));
  }

  removePort(port: Port): Promise<void> {
    return this.#apply(removePortText(this.table, port, this.#filters));
  }

  /** The published ports of the pod at `address`. */
  forwarder(address: string): PortForwarder {
    return {
      forward: (ports) => this.#forward(ports, address),
      unforward: (ports) => this.#unforward(ports.map((port) => ({ ...port, address }))),
      forwarded: async () =>
        this.published().flatMap(({ address: target, ...port }) => (target === address ? [port] : [])),
    };
  }

  published(): PublishedPort[] {
    return [...this.#published.values()];
  }

  async unpublish(ports: readonly PublishedPort[]): Promise<void> {
    await this.#unforward(ports);
  }

  async removeTables(): Promise<void> {
    await this.#apply(deleteText('ip', this.table) + deleteText('bridge', this.table));
    this.#published.clear();
  }

  async #forward(forwards: readonly PortForward[], address: string): Promise<void> {
    if (forwards.length === 0) return;
    if (!this.#filters)
      throw new HyperError(
        'unsupported',
        'publish ports of a pod on a bridged network: the daemon runs with --noniptables (DisableIptables), which leaves that to the operator',
      );
    const ports = forwards
      .map((forward) => ({ ...forward, address }))
      .filter((port) => !isDeepStrictEqual(this.#published.get(keyOf(port)), port));
    await this.#apply(ports.map((port) => publishText('add', this.table, port)).join(''));
    for (const port of ports) this.#published.set(keyOf(port), port);
  }

  async #unforward(ports: readonly PublishedPort[]): Promise<void> {
    const known = ports.filter((port) => isDeepStrictEqual(this.#published.get(keyOf(port)), port));
    await this.#apply(known.map((port) => publishText('delete', this.table, port)).join(''));
    for (const port of known) this.#published.delete(keyOf(port));
  }

  /** One after the other: two transactions at a time only make one of them try again. */
  async #apply(text: string): Promise<void> {
    if (text === '') return;
    const run = this.#last.then(() => runHostTool('nft', ['-f', '-'], text));
    this.#last = run.catch(() => undefined); // told to whoever awaits `run`
    await run;
  }
}

function keyOf({ protocol, hostAddress, hostPort }: HostPort): string {
  return `${protocol} ${hostAddress} ${hostPort}`;
}
