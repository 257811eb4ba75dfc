import { randomInt } from 'node:crypto';
import type { ContainerSpec, PodSpec, PortMapping } from '@hyperd/client';
import type { OptionSpec, Options } from './options.ts';
import { isPortMapping, PUBLISH_VALUE, portMapping } from './port-mapping.ts';
import { UsageError } from './usage-error.ts';
import { tmpfsReference, VOLUME_OPTIONS, volumeReference } from './volume-options.ts';

/** The options that describe a pod; `run` and `create` have them. */
export const POD_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'podfile',
    short: 'p',
    value: 'FILE|PORTS',
    repeats: true,
    help: 'take the pod from a JSON or YAML file (- is stdin) instead of options; a value such as 8080:80 is no file, but means --publish',
  },
  { name: 'yaml', short: 'y', help: 'the pod file is YAML, whatever its name; without -p it is the operand' },
  { name: 'name', value: 'NAME', help: 'name of the pod and its container (default: made from the image)' },
  { name: 'hostname', value: 'NAME', help: 'host name (default: the name of the pod)' },
  { name: 'workdir', value: 'DIR', help: 'working directory (default: as the image says)' },
  { name: 'tty', short: 't', help: 'give the container a terminal' },
  { name: 'interactive', short: 'i', help: 'accepted; input is always passed on' },
  { name: 'user', short: 'u', value: 'USER[:GROUP]', help: 'user to run as (default: as the image says)' },
  {
    name: 'env',
    short: 'e',
    value: 'KEY[=VALUE]',
    repeats: true,
    help: 'environment variable; without value: as it is here',
  },
  { name: 'entrypoint', value: 'WORD', help: "replace the image's entrypoint" },
  { name: 'read-only', help: 'make the root file system read-only' },
  { name: 'cpu', value: 'N', help: 'virtual processors (default 1)' },
  { name: 'memory', value: 'MIB', help: 'memory in MiB, or with a unit: 512m, 2g (default 128)' },
  { name: 'restart', value: 'POLICY', help: 'never, onFailure or always (default never)' },
  {
    name: 'keep-vm',
    help: "keep the pod's machine up when its last container has ended, until it is stopped",
  },
  { name: 'label', value: 'KEY=VALUE', repeats: true, help: 'label of the pod' },
  { name: 'log-driver', value: 'NAME', help: 'json-file or none (default: as the daemon is set up)' },
  {
    name: 'log-opt',
    value: 'KEY=VALUE',
    repeats: true,
    help: 'option of the log driver, such as max-size=10m',
  },
  {
    name: 'publish',
    value: PUBLISH_VALUE,
    repeats: true,
    help: 'publish a port or range of the pod on the host; without HOST on a port that is chosen when the pod starts',
  },
  {
    name: 'network',
    value: 'NAME',
    help: 'network to be on; user: one that needs no root, and has the pod alone (default: as the daemon is set up)',
  },
  { name: 'dns', value: 'ADDRESS', repeats: true, help: "name server (default: the host's)" },
  { name: 'dns-search', value: 'DOMAIN', repeats: true, help: 'domain that short names are looked up in' },
  { name: 'dns-option', value: 'OPTION', repeats: true, help: 'option of the resolver, such as ndots:2' },
  ...VOLUME_OPTIONS,
];

/** The pod that options, image and command describe: one container, with the name of the pod. Throws UsageError. */
export function podOf(options: Options, image: string, command: readonly string[]): PodSpec {
  const name = options.text('name') ?? nameFor(image);
  const logType = options.text('log-driver');
  const vcpu = options.integer('cpu', 1);
  const memory = memoryOf(options.text('memory'));
  return {
    id: name,
    ...given('hostname', options.text('hostname')),
    labels: pairs('label', options.all('label')),
    resource: { ...given('vcpu', vcpu), ...given('memory', memory) },
    restartPolicy: options.text('restart') ?? 'never',
    ...(options.flag('keep-vm') ? { keepVm: true } : {}),
    ...(logType || options.all('log-opt').length > 0
      ? { log: { ...given('type', logType), config: pairs('log-opt', options.all('log-opt')) } }
      : {}),
    ...given('network', options.text('network')),
    ...list('dns', options.all('dns')),
    ...list('dnsSearch', options.all('dns-search')),
    ...list('dnsOptions', options.all('dns-option')),
    containers: [containerOf(options, image, command, name)],
    portmappings: publishedOf(options),
  };
}

/** The container that options, image and command describe. Throws UsageError. */
export function containerOf(
  options: Options,
  image: string,
  command: readonly string[],
  name: string | undefined,
): ContainerSpec {
  const entrypoint = options.text('entrypoint');
  const [user, group] = (options.text('user') ?? '').split(':', 2);
  return {
    ...given('name', name),
    image,
    command,
    ...(entrypoint ? { entrypoint: [entrypoint] } : {}),
    ...given('workdir', options.text('workdir')),
    envs: options.all('env').flatMap(variable),
    tty: options.flag('tty'),
    readOnly: options.flag('read-only'),
    ...(user ? { user: { name: user, ...given('group', group) } } : {}),
    volumes: [...options.all('volume').map(volumeReference), ...options.all('tmpfs').map(tmpfsReference)],
  };
}

/** The port mappings of `--publish`, and of what `-p` has of that form. */
export function publishedOf(options: Options): PortMapping[] {
  const texts = [...options.all('publish'), ...options.all('podfile').filter(isPortMapping)];
  return texts.map(portMapping);
}

/** The pod of a file, with the port mappings of the options before its own. */
export function withPublished(pod: object, options: Options): object {
  const published = publishedOf(options);
  if (published.length === 0) return pod;
  const key = Object.keys(pod).find((name) => name.toLowerCase() === 'portmappings') ?? 'portmappings';
  const own: unknown = (pod as Record<string, unknown>)[key];
  return { ...pod, [key]: [...published, ...(Array.isArray(own) ? own : [])] };
}

/** The original's names: last part of the image, tag, ten digits. */
function nameFor(image: string): string {
  const last = image.slice(image.lastIndexOf('/') + 1).replace(/@.*$/, '');
  const [repository = '', tag] = last.split(':');
  const digits = Array.from({ length: 10 }, () => randomInt(10)).join('');
  const name = [repository, ...(tag ? [tag] : []), digits].join('-');
  return /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name) ? name : `pod-${digits}`;
}

function variable(text: string): { env: string; value: string }[] {
  const equals = text.indexOf('=');
  if (equals > 0) return [{ env: text.slice(0, equals), value: text.slice(equals + 1) }];
  if (text === '' || equals === 0) throw new UsageError(`--env is "${text}", want KEY=VALUE or KEY`);
  const value = process.env[text];
  return value === undefined ? [] : [{ env: text, value }];
}

function pairs(option: string, texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const equals = text.indexOf('=');
      if (equals < 1) throw new UsageError(`--${option} is "${text}", want KEY=VALUE`);
      return [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
}

function memoryOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const [, digits, unit = 'm'] = /^(\d{1,9})(?:([mg])i?b?)?$/i.exec(text) ?? [];
  const mib = Number(digits) * (unit.toLowerCase() === 'g' ? 1024 : 1);
  if (mib >= 1) return mib;
  throw new UsageError(`--memory is "${text}", want MiB such as 256, 512m or 2g`);
}

function list<K extends string>(key: K, values: readonly string[]): { [P in K]?: readonly string[] } {
  return given(key, values.length > 0 ? values : undefined);
}

function given<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: V };
}
