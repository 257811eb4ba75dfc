import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { Static } from 'typebox';
import type { MachinesUsage } from '../machines/machine.ts';
import type { RouteContext } from './routes/context.ts';
import type { DaemonInfo } from './shapes/schemas.ts';

const INDEX_SERVER = 'https://index.docker.io/v1/';

/** What the daemon tells of itself, its numbers and its host. */
export async function daemonInfo({
  pods,
  images,
  machines,
  about,
}: Pick<RouteContext, 'pods' | 'images' | 'machines' | 'about'>): Promise<Static<typeof DaemonInfo>> {
  const [all, usage, hypervisor] = [pods.list(), await images.usage(), await machines.info()];
  return {
    ID: String(process.pid),
    Containers: all.reduce((sum, pod) => sum + pod.containers.length, 0),
    Images: usage.images,
    Pods: all.length,
    Driver: 'erofs',
    DriverStatus: [
      ['Hypervisor', `${hypervisor.driver} ${hypervisor.version}`],
      ['Accelerator', `${hypervisor.accelerator} (${hypervisor.acceleratorReason})`],
      ...(about.confinement ?? []).map(({ name, told }): [string, string] => [name, told]),
      ['Image blobs', decimalSize(usage.blobBytes)],
      ['Root filesystems', decimalSize(usage.rootfsBytes)],
      ...machineLines(machines.usage()),
    ],
    ...poolInfo(machines.usage()),
    DockerRootDir: about.rootDirectory,
    IndexServerAddress: INDEX_SERVER,
    ExecutionDriver: hypervisor.driver,
    MemTotal: await memoryTotalKib(),
    'Operating System': await operatingSystem(),
    Name: hostname(),
  };
}

function poolInfo({ pool }: MachinesUsage): Pick<Static<typeof DaemonInfo>, 'Pool'> {
  if (!pool) return {};
  const { max, wanted, waiting, isMaking } = pool;
  return { Pool: { max, wanted, ready: waiting.length, making: isMaking } };
}

/** How machines come to be, and what waits for a pod. */
function machineLines({
  starts,
  outfitted,
  failedClones,
  lastCloneFailure,
  pool,
}: MachinesUsage): [string, string][] {
  const [{ pool: pooled, clone, boot }, waiting] = [starts, pool?.waiting ?? []];
  const kinds = waiting.map(({ shape: { vcpus, memoryMib }, outfit }) => {
    const image = outfit === undefined ? '' : ` for ${outfit.slice('sha256:'.length).slice(0, 12)}`;
    return `${vcpus} CPU ${memoryMib} MiB${image}`;
  });
  return [
    [
      'Machines started',
      `${pooled} from the pool (${outfitted} ready for their image), ${clone} cloned, ${boot} booted`,
    ],
    ...(failedClones > 0
      ? [['Clones that failed', `${failedClones}, the last one: ${lastCloneFailure}`] as [string, string]]
      : []),
    [
      'Pool',
      pool
        ? `${waiting.length} waiting${pool.isMaking ? ', one in the making' : ''}, of at most ${pool.max}`
        : 'off',
    ],
    ...(kinds.length > 0 ? [['Pool machines', kinds.join(', ')] as [string, string]] : []),
    ...(pool?.failure ? [['Pool failure', pool.failure] as [string, string]] : []),
  ];
}

/** Four digits in decimal units: `1.234 MB`. */
function decimalSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${Number((bytes / 1000 ** unit).toPrecision(4))} ${units[unit]}`;
}

async function memoryTotalKib(): Promise<number> {
  const [, kib] = /^MemTotal:\s+(\d+) kB/m.exec(await readFile('/proc/meminfo', 'utf8')) ?? [];
  return Number(kib ?? 0);
}

async function operatingSystem(): Promise<string> {
  try {
    const [, name] = /^PRETTY_NAME="?([^"\n]*)/m.exec(await readFile('/etc/os-release', 'utf8')) ?? [];
    return name ?? 'Linux';
  } catch {
    return 'Linux'; // a host without os-release (5)
  }
}
