import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { isBelow } from '../api-version.ts';
import { env, type Route } from '../call.ts';
import { listData } from '../shapes/list.ts';
import type { RouteContext } from './context.ts';

const INDEX_SERVER = 'https://index.docker.io/v1/';

/** The daemon itself, and what it has. */
export function systemRoutes(context: RouteContext): Route[] {
  return [
    {
      ...{ method: 'GET', path: '/_ping', parameters: {}, answers: '200 `OK`' },
      summary: 'Tells that the daemon answers',
      handle: () => ({ kind: 'text', status: 200, text: 'OK' }),
    },
    {
      ...{
        method: 'GET',
        path: '/info',
        parameters: {},
        answers: '200 numbers of pods, containers and images; drivers; host',
      },
      summary: 'Describes the daemon and its host',
      handle: async () => env(200, await daemonInfo(context)),
    },
    {
      ...{ method: 'GET', path: '/version', parameters: {}, answers: '200 `ID` (process id), `Version`' },
      summary: 'Tells the version of the daemon',
      handle: () => env(200, { ID: String(process.pid), Version: context.about.version }),
    },
    {
      ...{
        method: 'GET',
        path: '/list',
        answers: '201 `item` and `podData`, `cData` or `vmData`: strings with `:` between the fields',
      },
      summary: 'Lists pods, containers or machines',
      parameters: { item: '`pod`, `container` or `vm`', pod: 'only of this pod', vm: 'only of this machine' },
      handle: ({ parameters, version }) => {
        const item = parameters.text('item');
        const query = { item, pod: parameters.text('pod'), machine: parameters.text('vm') };
        const data = listData(query, context.pods.list(), context.machines.list());
        return env(201, { item, ...(isBelow(version, [0, 6]) ? { Item: item } : {}), ...data });
      },
    },
  ];
}

async function daemonInfo({ pods, images, machines, about }: RouteContext): Promise<Record<string, unknown>> {
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
      ['Image blobs', decimalSize(usage.blobBytes)],
      ['Root filesystems', decimalSize(usage.rootfsBytes)],
    ],
    DockerRootDir: about.rootDirectory,
    IndexServerAddress: INDEX_SERVER,
    ExecutionDriver: hypervisor.driver,
    MemTotal: await memoryTotalKib(),
    'Operating System': await operatingSystem(),
    Name: hostname(),
  };
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
