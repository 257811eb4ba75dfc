import { HyperError } from '../errors.ts';
import type { ExitStatus, GuestProcessState, ProcessSpec } from './agent.ts';
import { CommandError } from './command-error.ts';
import { Error_Code, Process_Builtin, type ProcessState } from './gen/agent_pb.js';
import { guestText } from './guest-text.ts';

const BUILTINS = {
  ...{ none: Process_Builtin.NONE, extract: Process_Builtin.EXTRACT, archive: Process_Builtin.ARCHIVE },
  ...{ layer: Process_Builtin.LAYER, prune: Process_Builtin.PRUNE },
  socket: Process_Builtin.SOCKET,
} as const;

/** The schema's Process. */
export function processMessage(spec: ProcessSpec) {
  return {
    ...spec,
    args: [...spec.args],
    env: [...spec.env],
    additionalGroups: [...spec.additionalGroups],
    rlimits: spec.rlimits.map((limit) => ({ ...limit })),
    builtin: BUILTINS[spec.builtin ?? 'none'],
  };
}

/** A listed process, with nothing in it that is not checked. */
export function processState(state: ProcessState): GuestProcessState {
  return {
    id: state.id,
    containerId: guestText(state.containerId),
    init: state.init,
    tty: state.tty,
    exit: state.exited ? exitStatus(state.exitCode, state.signal, state.exitedAtNs, false) : undefined,
  };
}

/** How a process ended; numbers that cannot be are cut to what can. */
export function exitStatus(
  exitCode: number,
  signal: number,
  exitedAtNs: bigint,
  outOfMemory: boolean,
): ExitStatus {
  const known = signal <= 64 ? signal : 0;
  return {
    exitCode: exitCode & 0xff,
    signal: known,
    exitedAt: dateOf(exitedAtNs),
    outOfMemory,
  };
}

/** A time of the guest's clock; one that is no date is now. */
function dateOf(timeNs: bigint): Date {
  const date = new Date(Number(timeNs / 1_000_000n));
  return Number.isNaN(date.getTime()) ? new Date() : date;
}

/** The guest's error as ours; `call` is for one without a text. */
export function errorOf(call: string, { code, message }: { code: Error_Code; message: string }): HyperError {
  const text = guestText(message) || `${call}: the guest gave no reason`;
  switch (code) {
    case Error_Code.COMMAND_NOT_FOUND:
      return new CommandError(127, text);
    case Error_Code.COMMAND_NOT_EXECUTABLE:
      return new CommandError(126, text);
    case Error_Code.INVALID:
      return new HyperError('invalid-argument', text);
    case Error_Code.NOT_FOUND:
      return new HyperError('not-found', text);
    case Error_Code.EXISTS:
      return new HyperError('conflict', text);
    case Error_Code.PRECONDITION:
      return new HyperError('precondition', text);
    case Error_Code.UNSUPPORTED:
      return new HyperError('unsupported', text);
    case Error_Code.TIMEOUT:
      return new HyperError('timeout', text);
    default:
      return new HyperError('machine', text);
  }
}

/** `value`, moved between two offsets of the guest. */
export function clamp(value: number, low: bigint, high: bigint): number {
  return Math.max(Number(low), Math.min(value, Number(high)));
}

/** Now, for the guest's clock. */
export function nowNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}
