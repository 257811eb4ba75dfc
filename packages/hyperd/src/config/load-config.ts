import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { defaultHost } from '@hyperd/client';
import { HyperError, messageOf } from '../errors.ts';
import type { MachineShape } from '../machines/machine.ts';
import type { UserRange } from '../machines/machine-users.ts';
import type { PoolSettings } from '../machines/pool.ts';
import type { BridgeSettings } from '../networks/networks.ts';
import type { LogPlace } from '../pods/container-log.ts';
import { LOG_OPTIONS } from '../pods/logs/log-settings.ts';
import { type AccessRules, parsePermission } from './access-rules.ts';
import { type ApiGuardSettings, apiGuard, hostWarnings } from './api-guard.ts';
import { parseFactoryPolicy } from './factory-policy.ts';
import { type IniEntry, parseIni } from './ini.ts';
import {
  absolutePath,
  auditTarget,
  bridgeAddress,
  bytesOf,
  deviceName,
  groupName,
  ipv4,
  isLoopback,
  isTrue,
  type Kind,
  listOf,
  mirrorList,
  parseCgroup,
  parseUserRange,
  pathList,
  poolSize,
  SETTINGS,
  size,
  socketMode,
  tcpAddress,
} from './settings.ts';

/** What the daemon is told by flags and file, checked, with defaults. */
export interface Config {
  readonly root: string;
  /** `unix:///PATH`, `tcp://ADDRESS:PORT` or `tls://ADDRESS:PORT`, at least one. */
  readonly hosts: readonly string[];
  readonly guard: ApiGuardSettings;
  /** `ADDRESS:PORT` of the gRPC service; undefined: it is not served. */
  readonly grpcHost: string | undefined;
  readonly kernel: string;
  readonly initrd: string;
  /** Root file system that machines of the pool rehearse with. */
  readonly rehearsalDisk: string;
  /** Users and groups of the host that machines run as; undefined: those that the root directory stands for. */
  readonly machineUsers: UserRange | 'none' | undefined;
  /** Where machines' cgroups are made: `auto`, `none`, or below the path of a cgroup. */
  readonly cgroup: string;
  /** Machines that wait for a pod. */
  readonly pool: PoolConfig;
  /** Modules of our own kernel that few machines need; another kernel has to have them built in. */
  readonly modulesDisk: string | undefined;
  readonly registries: RegistrySettings;
  /** IPv4 address of the host where ports are published that name none. */
  readonly publishAddress: string;
  /** Whether pods reach the host's loopback address, as 10.0.2.2. */
  readonly hostLoopback: boolean;
  readonly bridges: BridgeSettings;
  /** Bound on an image's uncompressed layers, in bytes. */
  readonly maxImageBytes: number;
  /** Directories of the host that volumes may come from. */
  readonly volumeRoots: readonly string[];
  /** Where and how the containers' logs are kept. */
  readonly logs: LogPlace;
  readonly logLevel: LogLevel;
  /** What to tell the user once logging works. */
  readonly warnings: readonly string[];
}

export interface PoolConfig extends PoolSettings {
  /** Templates that are made when the daemon starts. */
  readonly templates: readonly MachineShape[];
  /** Sizes whose machines are booted, not cloned. */
  readonly booted: readonly MachineShape[];
}

export interface RegistrySettings {
  readonly insecureRegistries: readonly string[];
  readonly mirrors: readonly string[];
  readonly certsDirectories: readonly string[];
}

export type LogLevel = (typeof LOG_LEVELS)[number];
const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

export type Command =
  | { readonly kind: 'run'; readonly config: Config }
  /** Removes what bridged networks have made of the host. */
  | { readonly kind: 'cleanup'; readonly config: Config }
  | { readonly kind: 'help' }
  | { readonly kind: 'version' };

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly uid: number;
  /** Directory that holds the guest's `vmlinux` and `initramfs.cpio`. */
  readonly guestDirectory: string;
}

/** The original's. */
const DEFAULT_BRIDGE = 'hyper0';
const DEFAULT_BRIDGE_IP = '192.168.123.0/24';

const DEFAULT_POOL_MAX = 4;
const DEFAULT_POOL_MIN = 1;
const DEFAULT_POOL_IDLE_MINUTES = 10;

const SYSTEM_FILE = '/etc/hyper/config';

const FLAGS = {
  root: { type: 'string' },
  host: { type: 'string', multiple: true },
  'tls-dir': { type: 'string' },
  'socket-group': { type: 'string' },
  'socket-mode': { type: 'string' },
  'audit-log': { type: 'string' },
  'grpc-host': { type: 'string' },
  config: { type: 'string' },
  kernel: { type: 'string' },
  initrd: { type: 'string' },
  hypervisor: { type: 'string' },
  registry_mirror: { type: 'string' },
  'registry-mirror': { type: 'string' },
  insecure_registry: { type: 'string' },
  'insecure-registry': { type: 'string' },
  'certs-dir': { type: 'string', multiple: true },
  'max-image-size': { type: 'string' },
  'volume-roots': { type: 'string' },
  'publish-address': { type: 'string' },
  'host-loopback': { type: 'boolean' },
  bridge: { type: 'string' },
  'bridge-ip': { type: 'string' },
  'pool-max': { type: 'string' },
  cleanup: { type: 'boolean' },
  noniptables: { type: 'boolean' },
  nondaemon: { type: 'boolean' },
  'log-level': { type: 'string' },
  v: { type: 'string' },
  log_dir: { type: 'string' },
  logtostderr: { type: 'boolean' },
  alsologtostderr: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const;

export const HELP = `Usage: hyperd [options]

Runs OCI images as pods in virtual machines.

  --root DIR                 state directory (default: /var/lib/hyper for root, else ~/.local/share/hyper)
  --host URL                 where to listen: unix:///PATH, tcp://127.0.0.1:PORT or tls://ADDRESS:PORT; repeatable
                             (default: unix:///var/run/hyper.sock for root, else hyper.sock in $XDG_RUNTIME_DIR)
  --tls-dir DIR              for tls://: cert.pem and key.pem of the daemon, ca.pem of its clients (default: /etc/hyper/tls)
  --socket-group GROUP       group that may use unix sockets (default: the daemon's own)
  --socket-mode MODE         their permissions (default: 660)
  --audit-log FILE           who asked for what; none: nowhere (default: audit.log in the state directory)
  --grpc-host ADDRESS:PORT   where to serve gRPC as well, such as 127.0.0.1:22318: neither encrypted nor asking who calls
                             (default: nowhere)
  --config FILE              configuration file (default: ${SYSTEM_FILE}, where it exists)
  --kernel FILE              guest kernel: an uncompressed ELF image
  --initrd FILE              guest initramfs with the agent
  --hypervisor NAME          qemu
  --registry-mirror LIST     mirrors, comma-separated, that are asked first: URL for Docker's registry, HOST=URL for another
  --insecure-registry LIST   registries, comma-separated, that may be spoken to over HTTP, or with any certificate
  --certs-dir DIR            certificates of registries, below HOST:PORT: *.crt, NAME.cert with NAME.key; repeatable
                             (default: certs.d in /etc/hyper, /etc/docker and /etc/containers)
  --volume-roots LIST        directories, comma-separated, that pods may have volumes of (default: /, any)
  --max-image-size SIZE      the most that an image may have uncompressed, such as 8G or 500M (default: 64G)
  --publish-address ADDRESS  where ports are published that name no address (default: 0.0.0.0, every address of the host)
  --host-loopback            let pods reach the host's loopback address, as 10.0.2.2: only where all of them are trusted
  --bridge NAME              have pods on a bridge of the host by default: needs root (default: none)
  --bridge-ip ADDRESS/LENGTH address of that bridge (default: 192.168.123.1/24 for hyper0)
  --noniptables              make no rules for bridged networks: no translation, published ports or isolation
  --pool-max NUMBER          machines that may wait for a pod, warmed up; 0: none (default: 4)
  --cleanup                  remove bridges, taps and rules of this state directory from the host, and end
  --log-level LEVEL          ${LOG_LEVELS.join(', ')} (default: info)
  --version                  print the version
  -h, --help                 print this help
`;

/** Reads flags and configuration file; flags win. Throws `invalid-argument` naming the flag, or file and line, the value and what is allowed. */
export function loadConfig(argv: readonly string[], surroundings: Surroundings): Command {
  const flags = parseFlags(argv);
  if (flags.help) return { kind: 'help' };
  if (flags.version) return { kind: 'version' };
  const { env, uid, guestDirectory } = surroundings;
  const warnings: string[] = [];
  const { settings: file, rules } = readSettings(flags.config, warnings);
  checkHypervisor('--hypervisor', flags.hypervisor ?? file.hypervisor);
  const root = resolve(flags.root ?? file.root ?? defaultRoot(env, uid));
  const hosts = flags.host ?? (file.host === undefined ? [defaultHost(env, uid)] : [file.host]);
  for (const host of hosts) checkHost(host);
  warnings.push(...hostWarnings(hosts, rules));
  const grpcHost = checked('grpc-host', flags['grpc-host'], tcpAddress) ?? file.grpchost;
  if (grpcHost !== undefined) {
    if (!isLoopback(grpcHost))
      throw new HyperError(
        'invalid-argument',
        `serve gRPC on "${grpcHost}": it is not encrypted, so loopback only; want 127.0.0.1:PORT`,
      );
    warnings.push(`gRPC on ${grpcHost}: every user of this host may do all that this daemon may`);
  }
  return {
    kind: flags.cleanup ? 'cleanup' : 'run',
    config: {
      ...{ root, hosts, grpcHost, warnings },
      guard: apiGuard({
        ...{ root, hosts, rules },
        tlsDirectory: checked('tls-dir', flags['tls-dir'], absolutePath) ?? file.tlsdir,
        socketGroup: checked('socket-group', flags['socket-group'], groupName) ?? file.socketgroup,
        socketMode: checked('socket-mode', flags['socket-mode'], socketMode) ?? file.socketmode,
        auditLog: checked('audit-log', flags['audit-log'], auditTarget) ?? file.auditlog,
      }),
      kernel: resolve(flags.kernel ?? file.kernel ?? join(guestDirectory, 'vmlinux')),
      modulesDisk: (flags.kernel ?? file.kernel) ? undefined : join(guestDirectory, 'modules.erofs'),
      initrd: resolve(flags.initrd ?? file.initrd ?? join(guestDirectory, 'initramfs.cpio')),
      rehearsalDisk: join(guestDirectory, 'rehearsal.erofs'),
      machineUsers: machineUsers(file.machineusers),
      cgroup: parseCgroup(file.cgroup),
      pool: poolConfig(checked('pool-max', flags['pool-max'], poolSize), file),
      registries: {
        insecureRegistries: listOf(
          flags['insecure-registry'] ?? flags.insecure_registry ?? file.insecureregistry,
        ),
        mirrors: listOf(
          checked('registry-mirror', flags['registry-mirror'] ?? flags.registry_mirror, mirrorList) ??
            file.registrymirror,
        ),
        certsDirectories:
          flags['certs-dir'] ?? (file.certsdir ? listOf(file.certsdir) : certsDirectories(env)),
      },
      maxImageBytes: bytesOf(
        checked('max-image-size', flags['max-image-size'], size) ?? file.maximagesize ?? '64G',
      ),
      publishAddress:
        checked('publish-address', flags['publish-address'], ipv4) ?? file.publishaddress ?? '0.0.0.0',
      hostLoopback: flags['host-loopback'] ?? isTrue(file.hostloopback),
      bridges: bridgeSettings(flags, file),
      volumeRoots: listOf(
        checked('volume-roots', flags['volume-roots'], pathList) ?? file.volumeroots ?? '/',
      ),
      logs: logPlace(file, root),
      logLevel: logLevel(flags['log-level']),
    },
  };
}

/** The original's setting is the whole policy where it is given, unless ours goes with it. */
function poolConfig(flag: string | undefined, file: FileSettings): PoolConfig {
  const policy = parseFactoryPolicy(file.vmfactorypolicy ?? '');
  const max = Number(flag ?? file.poolmax ?? (policy.length > 0 ? 0 : DEFAULT_POOL_MAX));
  return {
    ...{ max, min: Math.min(max, Number(file.poolmin ?? DEFAULT_POOL_MIN)) },
    images: file.poolimages === undefined || isTrue(file.poolimages),
    idleMinutes: Number(file.poolidleminutes ?? DEFAULT_POOL_IDLE_MINUTES),
    standing: flag === '0' ? [] : policy.map(({ shape, cache }) => ({ shape, count: cache })),
    templates: policy.filter(({ template }) => template).map(({ shape }) => shape),
    booted: policy.filter(({ template }) => !template).map(({ shape }) => shape),
  };
}

function machineUsers(value: string | undefined): Config['machineUsers'] {
  if (value === undefined) return undefined;
  return value.toLowerCase() === 'none' ? 'none' : parseUserRange(value);
}

/** Either setting asks for the default network; the other then has the original's default. */
function bridgeSettings(flags: ReturnType<typeof parseFlags>, file: FileSettings): BridgeSettings {
  const bridge = checked('bridge', flags.bridge, deviceName) ?? file.bridge;
  const bridgeIp = checked('bridge-ip', flags['bridge-ip'], bridgeAddress) ?? file.bridgeip;
  return {
    bridge: bridge || (bridgeIp ? DEFAULT_BRIDGE : undefined),
    bridgeIp: bridgeIp || DEFAULT_BRIDGE_IP,
    filters: !(flags.noniptables ?? isTrue(file.disableiptables)),
  };
}

function logPlace(file: FileSettings, root: string): LogPlace {
  const given = Object.entries(file).filter(([key]) => LOG_OPTIONS.includes(key));
  return {
    directory: file.podlogprefix ?? join(root, 'pods'),
    isByPod: file.podidinpath === undefined || isTrue(file.podidinpath),
    choice: {
      type: file.logger?.toLowerCase() ?? '',
      config: Object.fromEntries(
        given.flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
      ),
    },
  };
}

function parseFlags(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: FLAGS, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new HyperError('invalid-argument', `${messageOf(error)}; "hyperd --help" lists the options`, {
      cause: error,
    });
  }
}

function defaultRoot(env: Surroundings['env'], uid: number): string {
  if (uid === 0) return '/var/lib/hyper';
  return join(env.XDG_DATA_HOME || join(env.HOME || homedir(), '.local/share'), 'hyper');
}

type FileSettings = Readonly<Partial<Record<string, string>>>;

/** The file's settings by lower-case key, and its section [Access]. A file that was not asked for may be missing. */
function readSettings(
  asked: string | undefined,
  warnings: string[],
): { readonly settings: FileSettings; readonly rules: AccessRules } {
  const file = asked ?? SYSTEM_FILE;
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (asked === undefined && missing) return { settings: {}, rules: new Map() };
    throw new HyperError('invalid-argument', `read configuration file ${file}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  const settings: Record<string, string> = {};
  const rules = new Map<string, ReturnType<typeof parsePermission>>();
  for (const entry of parseIni(text, file)) {
    if (entry.section.toLowerCase() === 'access') {
      rules.set(entry.key, parsePermission(entry.value, `${file}:${entry.line}: ${entry.key}`));
      continue;
    }
    if (!checkEntry(entry, file, warnings)) continue;
    settings[entry.key.toLowerCase()] = entry.value;
  }
  return { settings, rules };
}

/** Whether the entry has an effect. */
function checkEntry({ section, key, value, line }: IniEntry, file: string, warnings: string[]): boolean {
  const known = SETTINGS[section.toLowerCase()]?.[key.toLowerCase()];
  if (!known) {
    warnings.push(`${file}:${line}: unknown key "${key}"${section && ` in section [${section}]`}`);
    return false;
  }
  if (!known.kind.accepts(value)) {
    const wrong = known.kind.explain?.(value) ?? `${key} is "${value}"; want ${known.kind.allowed}`;
    throw new HyperError('invalid-argument', `${file}:${line}: ${wrong}`);
  }
  if (!known.hasEffect) warnings.push(`${file}:${line}: ${key} has no effect in this version`);
  if (key.toLowerCase() === 'hypervisor') checkHypervisor(`${file}:${line}: Hypervisor`, value);
  return known.hasEffect;
}

function checkHypervisor(where: string, value: string | undefined): void {
  if (value === undefined || ['qemu', 'qemu-kvm', 'kvm'].includes(value.toLowerCase())) return;
  throw new HyperError(
    'invalid-argument',
    `${where} is "${value}"; this version has qemu (with KVM where the host has it)`,
  );
}

function checkHost(host: string): void {
  if (/^unix:\/\/\/.+/.test(host)) return;
  if (/^tls:\/\/([^:/[\]]+|\[[0-9a-fA-F:]+\]):\d{1,5}$/.test(host)) return;
  if (/^tcp:\/\/(127\.\d+\.\d+\.\d+|localhost|\[::1\]):\d{1,5}$/.test(host)) return;
  const remote = host.startsWith('tcp://');
  throw new HyperError(
    'invalid-argument',
    remote
      ? `--host "${host}": without TLS hyperd listens on loopback only; want tcp://127.0.0.1:PORT or tls://ADDRESS:PORT`
      : `--host "${host}"; want unix:///PATH, tcp://127.0.0.1:PORT or tls://ADDRESS:PORT`,
  );
}

function certsDirectories({ HOME }: Surroundings['env']): string[] {
  const own = HOME ? [join(HOME, '.config/hyper/certs.d'), join(HOME, '.config/containers/certs.d')] : [];
  return [...own, '/etc/hyper/certs.d', '/etc/docker/certs.d', '/etc/containers/certs.d'];
}

/** A flag's value as it is. Throws where its kind does not accept it. */
function checked(flag: string, value: string | undefined, kind: Kind): string | undefined {
  if (value === undefined || kind.accepts(value)) return value;
  throw new HyperError('invalid-argument', `--${flag} "${value}"; want ${kind.allowed}`);
}

function logLevel(value: string | undefined): LogLevel {
  const level = LOG_LEVELS.find((known) => known === (value ?? 'info'));
  if (level) return level;
  throw new HyperError('invalid-argument', `--log-level "${value}"; want ${LOG_LEVELS.join(', ')}`);
}
