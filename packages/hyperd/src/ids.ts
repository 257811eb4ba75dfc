import { randomBytes, randomInt } from 'node:crypto';

declare const brand: unique symbol;
type Brand<T, B extends string> = T & { readonly [brand]: B };

/** Id and name of a pod: the `id` of its specification, or `pod-` and ten letters. */
export type PodId = Brand<string, 'PodId'>;
/** 64 hex digits. */
export type ContainerId = Brand<string, 'ContainerId'>;
/** `vm-` and ten letters. */
export type MachineId = Brand<string, 'MachineId'>;
/** `exec-` and ten letters. */
export type ExecId = Brand<string, 'ExecId'>;
/** `sha256:` and 64 hex digits (OCI image-spec, descriptor.md). */
export type Digest = Brand<string, 'Digest'>;

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

function tenLetters(): string {
  return Array.from({ length: 10 }, () => LETTERS[randomInt(LETTERS.length)]).join('');
}

export const newPodId = (): PodId => `pod-${tenLetters()}` as PodId;
export const newMachineId = (): MachineId => `vm-${tenLetters()}` as MachineId;
export const newExecId = (): ExecId => `exec-${tenLetters()}` as ExecId;
export const newContainerId = (): ContainerId => randomBytes(32).toString('hex') as ContainerId;

/** `text` as a digest, or undefined where it is not `sha256:` and 64 lower-case hex digits. */
export function asDigest(text: string): Digest | undefined {
  return /^sha256:[0-9a-f]{64}$/.test(text) ? (text as Digest) : undefined;
}
