import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';

/** A host of its own for a daemon: a network namespace, and another one beside it for the world. Needs root. Dispose of it. */
export interface TestNetns extends Disposable {
  /** Runs a program on the host, and becomes it. */
  readonly runner: readonly [string, ...string[]];
  /** The host's address as the world has it. */
  readonly address: string;
  /** The world's address. */
  readonly world: string;
  /** What a program on the host prints, whether it fails or not. */
  inside(...command: string[]): string;
  /** The same for one in the world. */
  outside(...command: string[]): string;
  /** A program in the world, left running. */
  spawnOutside(...command: string[]): ChildProcess;
  /** The host's devices but for those that it came with, sorted. */
  devices(): string[];
}

/** Documentation addresses: nobody else has them. */
const HOST = '198.51.100.1';
const WORLD = '198.51.100.2';

/** Two namespaces joined by a cable; the world knows that the host leads to `networks`. */
export function openNetns(networks: readonly string[]): TestNetns {
  const id = randomBytes(3).toString('hex');
  const [host, world] = [`hyh${id}`, `hyw${id}`];
  const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
  const dispose = (): void => {
    for (const name of [host, world]) spawnSync('ip', ['netns', 'del', name]);
  };
  const within = (name: string) => (command: readonly string[]) =>
    spawnSync('ip', ['netns', 'exec', name, ...command], { encoding: 'utf8', timeout: 60_000 });
  try {
    for (const name of [host, world]) {
      ip('netns', 'add', name);
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
    ip('link', 'add', 'up0', 'netns', host, 'type', 'veth', 'peer', 'name', 'up0', 'netns', world);
    for (const [name, address] of [
      [host, HOST],
      [world, WORLD],
    ] as const) {
      ip('-n', name, 'address', 'add', `${address}/24`, 'dev', 'up0');
      ip('-n', name, 'link', 'set', 'up0', 'mtu', '1400', 'up');
    }
    ip('-n', host, 'route', 'add', 'default', 'via', WORLD);
    for (const network of networks) ip('-n', world, 'route', 'add', network, 'via', HOST);
  } catch (error) {
    dispose();
    throw error;
  }
  return {
    ...{ runner: ['ip', 'netns', 'exec', host], address: HOST, world: WORLD },
    inside: (...command) => within(host)(command).stdout,
    outside: (...command) => within(world)(command).stdout,
    spawnOutside: (...command) => spawn('ip', ['netns', 'exec', world, ...command]),
    devices: () =>
      (JSON.parse(ip('-n', host, '-json', 'link', 'show')) as { ifname: string }[])
        .map(({ ifname }) => ifname)
        .filter((name) => !['lo', 'up0'].includes(name))
        .sort(),
    [Symbol.dispose]: dispose,
  };
}
