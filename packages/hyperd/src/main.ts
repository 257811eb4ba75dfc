import { accessSync, constants } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import pino from 'pino';
import { createApi } from './api/index.ts';
import { createBuildCache } from './build/cache.ts';
import { createBuildService } from './build/service.ts';
import { type Config, HELP, loadConfig } from './config/load-config.ts';
import { createChecks, createDoctor } from './doctor/index.ts';
import { HyperError, isHyperError, messageOf } from './errors.ts';
import { Events } from './events/index.ts';
import { connectAgent } from './guest/index.ts';
import { diskDirectories, letRead } from './images/disk-access.ts';
import { createImageService } from './images/index.ts';
import { seedImages } from './images/seed.ts';
import type { Logger } from './logger.ts';
import { planCgroups } from './machines/cgroups.ts';
import { createFileServers } from './machines/file-server.ts';
import type { ConfinementMeasure, MachineShape, Outfitter } from './machines/machine.ts';
import { createMachineService, type PoolOptions } from './machines/machine-service.ts';
import { planUsers } from './machines/machine-users.ts';
import { createQemuDriver } from './machines/qemu/driver.ts';
import { createScratchDisks } from './machines/scratch-disk.ts';
import { HostPorts } from './networks/host-ports.ts';
import { Networks } from './networks/networks.ts';
import { copyResolver } from './networks/resolver-copy.ts';
import { ContainerLogs } from './pods/container-log.ts';
import { createPodRecords } from './pods/pod-records.ts';
import { ReadyImages } from './pods/ready-images.ts';
import { Pods } from './pods/service.ts';
import type { RpcOptions } from './rpc/index.ts';
import type { RpcServer } from './rpc/server.ts';
import { openState } from './state/database.ts';
import { VERSION } from './version.ts';
import { openVolumes } from './volumes/index.ts';

/** What set-up makes; the bundle and the sources lie equally deep below the repository. */
const BUILD_DIRECTORY = join(import.meta.dirname, '../../../build');
const NETWORK_GUARD = join(BUILD_DIRECTORY, 'host/network-guard.so');
const CONFINE = join(BUILD_DIRECTORY, 'host/confine');
const PASS_FILE = join(BUILD_DIRECTORY, 'host/pass-file');
const DEFAULT_SHAPE = { vcpus: 1, memoryMib: 128 };

async function main(argv: readonly string[]): Promise<void> {
  const command = loadConfig(argv, {
    ...{ env: process.env, uid: process.getuid?.() ?? 0 },
    guestDirectory: join(BUILD_DIRECTORY, 'guest'),
  });
  if (command.kind === 'help') process.stdout.write(HELP);
  else if (command.kind === 'version') process.stdout.write(`${VERSION}\n`);
  else if (command.kind === 'cleanup') await cleanUp(command.config);
  else await serve(command.config);
}

/** Takes what bridged networks have made of the host away again. */
async function cleanUp({ root, bridges, logLevel }: Config): Promise<void> {
  const logger = loggerOf(logLevel);
  using state = openState(root);
  await using networks = new Networks({ root, state, logger, settings: bridges, events: new Events() });
  const devices = (await networks.cleanUp()).map(({ name }) => name);
  logger.info({ root, devices }, 'bridges, taps and rules are removed');
}

function loggerOf(level: Config['logLevel']): Logger {
  return pino({ level, base: null }, pino.destination({ fd: 2, sync: true }));
}

/** The life of the daemon: open, restore, listen, wait for a signal, let go. Running pods outlive it. */
async function serve(config: Config): Promise<void> {
  const logger = loggerOf(config.logLevel);
  for (const warning of config.warnings) logger.warn({}, warning);
  for (const path of [config.kernel, config.initrd, NETWORK_GUARD, CONFINE, PASS_FILE]) requireReadable(path);
  const ended = nextSignal();
  const { root } = config;
  const events = new Events();
  using state = openState(root);
  const cache = createBuildCache(state);
  await using images = await createImageService({
    ...{ root, state, logger, events, maxImageBytes: config.maxImageBytes, otherLayers: cache.layers },
    registries: { ...config.registries, env: process.env },
  });
  const resolvConf = join(root, 'resolver/resolv.conf');
  using _resolver = await copyResolver(resolvConf, logger);
  const driver = createQemuDriver({
    ...{ ...config, networkGuard: NETWORK_GUARD, confine: CONFINE, passFile: PASS_FILE, resolvConf },
    ...{ readable: [...diskDirectories(root), dirname(config.rehearsalDisk)], own: root },
  });
  const { accelerator } = await driver.info();
  const plannedUsers = planUsers(config.machineUsers, {
    ...{ root, kvm: accelerator === 'kvm' },
    files: machineFiles(config),
  });
  const plannedCgroups = await planCgroups(config.cgroup, root);
  const confinement: ConfinementMeasure[] = [plannedUsers, plannedCgroups];
  for (const { name, hindrance } of confinement)
    if (hindrance !== undefined) logger.warn({ reason: hindrance }, `${name.toLowerCase()}: there are none`);
  const { users } = plannedUsers;
  using cgroups = plannedCgroups.cgroups;
  await letRead(root, users?.group);
  const scratch = createScratchDisks(root);
  const readyImages = new ReadyImages(images, scratch);
  await using machines = await createMachineService({
    ...{ root, state, driver, connectAgent, logger, events, modulesDisk: config.modulesDisk },
    fileServers: createFileServers(join(BUILD_DIRECTORY, 'host/share-files')),
    ...{ users, cgroups, scratch, pool: poolOptions(config, readyImages), booted: config.pool.booted },
    rehearsalDisk: config.rehearsalDisk,
  });
  images.onRemove((image) => machines.drain(image));
  const volumes = await openVolumes({ root, state, logger, events, roots: config.volumeRoots });
  await using networks = new Networks({ root, state, logger, settings: config.bridges, events });
  await networks.open();
  await using pods = new Pods({
    ...{ root, records: createPodRecords(state), machines, images, logger, events },
    volumes,
    ...{ hostPorts: new HostPorts(config.publishAddress), networks },
    ...{ scratch, readyImages, logs: new ContainerLogs(config.logs) },
  });
  await pods.restore(await machines.adoptAll());
  await seedImages(images, state, join(BUILD_DIRECTORY, 'images'), logger);
  await images.collectGarbage();
  await using builds = await createBuildService({ root, images, machines, scratch, cache, logger });
  const about = { version: VERSION, rootDirectory: root, confinement };
  const patient = { root, confinement, state, machines, pods, images, volumes, networks, builds };
  await using api = createApi({
    doctor: createDoctor(createChecks(patient), logger),
    pods,
    images,
    builds,
    volumes,
    machines,
    networks,
    events,
    about,
    logger,
    guard: config.guard,
  });
  const urls = await api.listen(config.hosts);
  const { grpcHost } = config;
  await using rpc =
    grpcHost === undefined ? undefined : await loadRpc({ pods, images, machines, about, logger });
  const grpc = grpcHost === undefined ? undefined : await rpc?.listen(grpcHost);
  events.daemon('start');
  logger.info({ hyperd: VERSION, root, urls, grpc, hypervisor: await machines.info() }, 'hyperd is ready');
  for (const shape of templateShapes(config))
    machines
      .prepare(shape)
      .catch((error: unknown) => logger.warn({ err: error, shape }, 'prepare machine template'));
  const signal = await ended;
  events.daemon('stop', { signal });
  await setImmediate(); // whoever follows events gets this one before its connection ends
  logger.info({ signal }, 'hyperd ends; running pods go on');
}

/** What every machine's process reads. */
function machineFiles({ kernel, initrd, rehearsalDisk, modulesDisk }: Config): string[] {
  const directories = [dirname(NETWORK_GUARD), dirname(rehearsalDisk)];
  return [
    ...directories,
    NETWORK_GUARD,
    kernel,
    initrd,
    rehearsalDisk,
    ...(modulesDisk ? [modulesDisk] : []),
  ];
}

/** Sizes whose templates are made at once. */
function templateShapes({ pool: { templates, booted } }: Config): MachineShape[] {
  return templates.length + booted.length > 0 ? [...templates] : [DEFAULT_SHAPE];
}

/** undefined: nothing is to wait for a pod. */
function poolOptions({ pool }: Config, outfitter: Outfitter): PoolOptions | undefined {
  if (pool.max === 0 && pool.standing.length === 0) return undefined;
  return { ...pool, defaultShape: DEFAULT_SHAPE, outfitter };
}

/** Only a daemon that is asked to serve gRPC loads what that takes. */
async function loadRpc(options: RpcOptions): Promise<RpcServer> {
  const { createRpc } = await import('./rpc/index.ts');
  return createRpc(options);
}

function requireReadable(path: string): void {
  try {
    accessSync(path, constants.R_OK);
  } catch (error) {
    throw new HyperError('invalid-argument', `read ${path}: ${messageOf(error)}; "npm run setup" makes it`, {
      cause: error,
    });
  }
}

/** The first signal that asks the daemon to end; a second one ends it at once. */
function nextSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(signal, () => resolve(signal));
  });
}

try {
  const { HYPERD_FAULT } = process.env; // tests of crashes
  if (HYPERD_FAULT) (await import('./faults/arm-faults.ts')).armFaults(HYPERD_FAULT);
  await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`hyperd: ${messageOf(error)}\n`);
  if (!isHyperError(error) && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
}
