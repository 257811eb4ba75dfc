import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { HyperError, messageOf } from '../errors.ts';

const TIMEOUT_MS = 30_000;
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;
const CAP_NET_ADMIN = 12n;
const PACKAGES = { ip: 'iproute2', bridge: 'iproute2', nft: 'nftables', iptables: 'iptables' } as const;

export type HostTool = keyof typeof PACKAGES;

/** Whether this process may change the host's network. */
export async function mayChangeNetwork(): Promise<boolean> {
  const status = await readFile('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return (effective & (1n << CAP_NET_ADMIN)) !== 0n;
}

/** Whether the program is where `runHostTool` looks for it. */
export function hasHostTool(tool: HostTool): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((directory) => existsSync(join(directory, tool)));
}

/**
 * Runs a program of the host's network, without a shell, and resolves with what it prints. `input`: lines for its standard input; whoever makes
 * them puts only checked values in. Rejects `unavailable` where the program is missing or refuses, with what it says.
 */
export async function runHostTool(tool: HostTool, args: readonly string[], input = ''): Promise<string> {
  const child = spawn(tool, [...args], { stdio: 'pipe', timeout: TIMEOUT_MS });
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  let size = 0;
  const collect = (into: Buffer[]) => (chunk: Buffer) => {
    size += chunk.length;
    if (size <= MAX_OUTPUT_BYTES) into.push(chunk);
    else child.kill('SIGKILL');
  };
  child.stdout.on('data', collect(stdout));
  child.stderr.on('data', collect(stderr));
  child.stdin.on('error', () => child.stdin.destroy()); // it may refuse before it has read all
  child.stdin.end(input);
  const what = `run "${[tool, ...args].join(' ')}"`;
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }).catch((error: unknown) => {
    throw new HyperError(
      'unavailable',
      `${what}: ${messageOf(error)}; install the package ${PACKAGES[tool]}`,
      {
        cause: error,
      },
    );
  });
  if (code === 0) return Buffer.concat(stdout).toString();
  const said = Buffer.concat(stderr).toString().trim().split('\n').slice(0, 3).join('; ');
  throw new HyperError('unavailable', `${what}: ${said || `ended with ${code}`}`);
}
