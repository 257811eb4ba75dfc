import { constants } from 'node:os';
import { HyperError } from '../errors.ts';
import type { ImageRunConfig } from '../oci/image-config.ts';
import type { ContainerSpec } from './spec/pod-spec.ts';

/** What a container's init is, image and specification put together. Stored with the container. */
export interface RunSpec {
  readonly args: readonly string[];
  /** `KEY=value`, one per key. */
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: string;
  readonly additionalGroups: readonly string[];
  /** Number of the signal that asks it to stop. */
  readonly stopSignal: number;
}

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * The number of `signal`: a number, or a name with or without `SIG`, in any case.
 * Throws `invalid-argument` for anything else.
 */
export function signalNumber(signal: string): number {
  if (/^\d+$/.test(signal)) {
    const number = Number(signal);
    if (number >= 1 && number <= 64) return number;
  }
  const name = signal.toUpperCase();
  const table: Readonly<Record<string, number>> = constants.signals;
  const number = table[name.startsWith('SIG') ? name : `SIG${name}`];
  if (number !== undefined) return number;
  const realTime = /^(?:SIG)?RTMIN\+(\d{1,2})$/.exec(name);
  if (realTime && Number(realTime[1]) <= 30) return 34 + Number(realTime[1]);
  throw new HyperError('invalid-argument', `read signal "${signal}": want a name such as TERM, or 1 to 64`);
}

/**
 * Puts an image's configuration and a container specification together as Docker does: a given entrypoint drops the image's
 * command, environment is merged by key. Throws `invalid-spec` when there is nothing to run.
 */
export function runSpecOf(spec: ContainerSpec, image: ImageRunConfig, hostname: string): RunSpec {
  const entrypoint = spec.entrypoint.length > 0 ? spec.entrypoint : image.entrypoint;
  const imageCommand = spec.entrypoint.length > 0 ? [] : image.cmd;
  const args = [...entrypoint, ...(spec.command.length > 0 ? spec.command : imageCommand)];
  if (args.length === 0) {
    throw new HyperError(
      'invalid-spec',
      `run image "${spec.image}": it names no command; give the container a "command" or an "entrypoint"`,
    );
  }
  return {
    args,
    env: mergedEnv(spec, image, hostname),
    cwd: spec.workdir || image.workingDir || '/',
    user: userOf(spec, image),
    additionalGroups: spec.user.additionalGroups,
    stopSignal: signalNumber(spec.stopSignal || image.stopSignal || 'TERM'),
  };
}

function mergedEnv(spec: ContainerSpec, image: ImageRunConfig, hostname: string): string[] {
  const merged = new Map<string, string>([
    ['PATH', DEFAULT_PATH],
    ['HOSTNAME', hostname],
  ]);
  if (spec.tty) merged.set('TERM', 'xterm');
  for (const entry of image.env) {
    const equals = entry.indexOf('=');
    if (equals > 0) merged.set(entry.slice(0, equals), entry.slice(equals + 1));
  }
  for (const { env, value } of spec.envs) merged.set(env, value);
  return [...merged].map(([key, value]) => `${key}=${value}`);
}

function userOf(spec: ContainerSpec, image: ImageRunConfig): string {
  if (!spec.user.name) return image.user;
  return spec.user.group ? `${spec.user.name}:${spec.user.group}` : spec.user.name;
}
