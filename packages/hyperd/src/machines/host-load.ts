import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';

const MIB_KIB = 1024;
/** Share of the time, in percent, in which something waited for a processor. */
const BUSY_PRESSURE = 60;

/** Whether work that can wait should: processes stand in line for the processors. */
export async function isHostBusy(): Promise<boolean> {
  const pressure = await readFile('/proc/pressure/cpu', 'utf8').catch(() => ''); // not every kernel has it
  const [, some] = /^some avg10=([\d.]+)/m.exec(pressure) ?? [];
  return some === undefined ? (loadavg()[0] ?? 0) > 2 * availableParallelism() : Number(some) > BUSY_PRESSURE;
}

/** Memory of the host that can be had without swapping, and all of it, in MiB. */
export async function hostMemory(): Promise<{ readonly availableMib: number; readonly totalMib: number }> {
  const text = await readFile('/proc/meminfo', 'utf8');
  const mib = (name: string): number =>
    Math.floor(Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) / MIB_KIB);
  return { availableMib: mib('MemAvailable'), totalMib: mib('MemTotal') };
}

const CAP_SYS_NICE = 23n;

/** Whether this process may raise the priority of another one again that it has lowered. */
export function mayRaisePriority(): boolean {
  const [, mask = '0'] = /^CapEff:\s+([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return ((BigInt(`0x${mask}`) >> CAP_SYS_NICE) & 1n) === 1n;
}
