import { HyperError } from '../errors.ts';
import type { ImageRunConfig } from '../oci/image-config.ts';
import { signalNumber } from '../signals.ts';
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
  /** Where the image wants volumes; absent in records of earlier versions. */
  readonly volumes?: readonly string[];
}

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

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
    volumes: image.volumes,
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
