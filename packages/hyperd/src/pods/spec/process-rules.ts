import { HyperError, isHyperError } from '../../errors.ts';
import { signalNumber } from '../../signals.ts';
import type { ContainerJson } from './schema.ts';

/** Those that the guest knows. */
const ULIMITS = [
  ...['as', 'core', 'cpu', 'data', 'fsize', 'locks', 'memlock', 'msgqueue', 'nice', 'nofile', 'nproc'],
  ...['rss', 'rtprio', 'rttime', 'sigpending', 'stack'],
];
/** Kernel settings by their names; in the form with slashes dots belong to names. */
const SYSCTL = /^[a-zA-Z0-9_-]+(?:[./][a-zA-Z0-9_.-]+)+$/;
const MAX_SYSCTL_LENGTH = 200;

/** The rules of what a container's process is and may. `at`: the container's place, with a dot behind. Throws `invalid-spec`, `unsupported`. */
export function checkProcess(container: ContainerJson, at: string): void {
  for (const key of ['command', 'entrypoint'] as const) {
    const index = (container[key] ?? []).findIndex((word) => word.includes('\0'));
    if (index >= 0) refuse(`"${at}${key}[${index}]" has a NUL character`);
  }
  const { workdir, logPath } = container;
  if (workdir && (!workdir.startsWith('/') || workdir.includes('\0')))
    refuse(`"${at}workdir" is ${shown(workdir)}, want an absolute path`);
  checkUser(container, at);
  checkStopSignal(container, at);
  checkUlimits(container, at);
  for (const [key, value] of Object.entries(container.sysctl ?? {})) {
    if (!SYSCTL.test(key) || key.length > MAX_SYSCTL_LENGTH || key.includes('..'))
      refuse(`"${at}sysctl" has the key ${shown(key)}, want a name such as net.core.somaxconn`);
    if (value.includes('\0')) refuse(`"${at}sysctl.${key}" has a NUL character`);
  }
  if (logPath) {
    throw new HyperError(
      'unsupported',
      `"${at}logPath" is ${shown(logPath)}: the daemon may write where a client may not, so logs are where its configuration says (PodLogPrefix in [Log]); leave it out`,
    );
  }
}

function checkUser({ user }: ContainerJson, at: string): void {
  const names = [user?.name, user?.group, ...(user?.additionalGroups ?? [])];
  const bad = names.find((name) => name && /[\0\n]/.test(name));
  if (bad !== undefined) refuse(`"${at}user" has the name ${shown(bad)}, want one of a line, or a number`);
}

function checkStopSignal({ stopSignal }: ContainerJson, at: string): void {
  if (!stopSignal) return;
  try {
    signalNumber(stopSignal);
  } catch (error) {
    if (!isHyperError(error)) throw error;
    refuse(`"${at}StopSignal" is ${shown(stopSignal)}, want a name such as TERM or SIGTERM, or 1 to 64`);
  }
}

function checkUlimits({ ulimits = [] }: ContainerJson, at: string): void {
  const seen = new Set<string>();
  for (const [index, { name, hard = 0, soft = 0 }] of ulimits.entries()) {
    const place = `"${at}ulimits[${index}]`;
    if (!name) refuse(`${place}.name" is missing`);
    const plain = name.toLowerCase();
    if (!ULIMITS.includes(plain))
      refuse(`${place}.name" is ${shown(name)}, want one of ${ULIMITS.join(', ')}`);
    if (seen.has(plain)) refuse(`${place}.name" is ${shown(name)}, which is limited twice`);
    seen.add(plain);
    if (hard !== -1 && (soft > hard || soft === -1))
      refuse(`${place}" has soft limit ${soft} above its hard limit ${hard}`);
  }
}

function shown(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}

function refuse(message: string): never {
  throw new HyperError('invalid-spec', message);
}
