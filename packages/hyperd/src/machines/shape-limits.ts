import { availableParallelism, totalmem } from 'node:os';
import { HyperError } from '../errors.ts';
import type { MachineShape } from './machine.ts';

/** Containers need something beside what the guest itself takes. */
const MIN_MEMORY_MIB = 4;
/** A machine may have more processors than the host, as long as they get on at all: an emulated one boots them one by one. */
const VCPUS_PER_PROCESSOR = 4;
const VCPUS_ANYWHERE = 8;
const MAX_VCPUS = 240;

export interface HostSize {
  readonly processors: number;
  readonly memoryMib: number;
}

export function hostSize(): HostSize {
  return { processors: availableParallelism(), memoryMib: Math.floor(totalmem() / 1024 ** 2) };
}

/** Throws `invalid-spec` with what is allowed where the host could not have such a machine. `place`: names of the two values. */
export function checkShape(
  { vcpus, memoryMib }: MachineShape,
  host: HostSize,
  place: { readonly vcpus: string; readonly memory: string },
): void {
  const mostVcpus = Math.min(MAX_VCPUS, Math.max(VCPUS_ANYWHERE, VCPUS_PER_PROCESSOR * host.processors));
  if (vcpus > mostVcpus) {
    throw new HyperError(
      'invalid-spec',
      `"${place.vcpus}" is ${vcpus}, want 1 to ${mostVcpus} on a host of ${host.processors} processors`,
    );
  }
  if (memoryMib >= MIN_MEMORY_MIB && memoryMib <= host.memoryMib) return;
  throw new HyperError(
    'invalid-spec',
    `"${place.memory}" is ${memoryMib} MiB, want ${MIN_MEMORY_MIB} to ${host.memoryMib} MiB, which is all that the host has`,
  );
}
