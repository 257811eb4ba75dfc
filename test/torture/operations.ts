import { Readable } from 'node:stream';
import { layerTar, layoutArchive } from '../support/images.ts';
import type { World } from './world.ts';

/** Something that a client asks for, and that is done wholly or not at all. */
export interface Operation {
  readonly name: string;
  /** It is about bridged networks. */
  readonly needsBridges?: boolean;
  /** It is about the output of pods. */
  readonly isOfLogs?: boolean;
  /** Makes what it needs. */
  setUp?(world: World): Promise<unknown>;
  /** Resolves when the daemon has acknowledged it; `begin` is called when the daemon may be told to die. */
  run(world: World, begin: () => void): Promise<unknown>;
  /** Whether it is done, as the API tells. */
  isDone(world: World): Promise<boolean>;
  /** After a crash left it undone, where something is kept on purpose: back to before `setUp`. */
  settle?(world: World): Promise<unknown>;
  /** Back to before `setUp`, whatever is there. */
  undo(world: World): Promise<unknown>;
}

/** Some lines of the bystander. */
const OUTPUT_MS = 1_000;
const POD = 'victim';
const VOLUME = 'kept';
/** Of this run's own. */
const HOST_PORT = `${20_000 + (process.pid % 10_000)}`;
const NETWORK = 'apart';
const BUILT = 'built:latest';
const COMMITTED = 'committed:latest';
const LOADED = 'loaded:latest';
const ARCHIVE = layoutArchive({ layers: [[{ name: 'f', type: 'file', data: 'y'.repeat(200_000) }]] });
const DOCKERFILE = 'FROM busybox\nCOPY f /f\nRUN echo made > /made\nENV A=b\n';

/** Has a file, a volume and, where there are bridges, an address and a published port: all that can be left behind. */
const podSpec = {
  id: POD,
  files: [{ name: 'f', encoding: 'raw', content: 'text' }],
  volumes: [{ name: 'data', source: VOLUME, format: 'volume' }],
  portmappings: [{ hostPort: HOST_PORT, containerPort: '80' }],
  containers: [
    {
      ...{
        name: POD,
        image: 'busybox',
        command: ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 1; done'],
      },
      files: [{ path: '/f', filename: 'f' }],
      volumes: [{ path: '/data', volume: 'data' }],
    },
  ],
};

const phaseOf = async ({ client }: World): Promise<string> =>
  (await client.pods()).find(({ id }) => id === POD)?.status ?? 'none';
const hasImage = async ({ client }: World, name: string): Promise<boolean> =>
  (await client.images.list()).some(({ repository, tag }) => `${repository}:${tag}` === name);
const createPod = ({ client }: World) => client.createPod(podSpec);
const startPod = ({ client }: World) => client.startPod(POD);

async function removePod(world: World): Promise<void> {
  if ((await phaseOf(world)) !== 'none') await world.client.removePod(POD);
  if ((await world.client.volumes.list()).some(({ name }) => name === VOLUME))
    await world.client.volumes.remove(VOLUME);
}

async function removeImage(world: World, name: string): Promise<void> {
  if (await hasImage(world, name)) await world.client.images.remove(name);
}

async function all(messages: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of messages);
}

export const OPERATIONS: readonly Operation[] = [
  {
    name: 'create a pod',
    run: (world, begin) => {
      begin();
      return createPod(world);
    },
    isDone: async (world) => (await phaseOf(world)) === 'pending',
    settle: removePod, // the volume that it names is made before it, and kept
    undo: removePod,
  },
  {
    name: 'start a pod',
    setUp: createPod,
    run: (world, begin) => {
      begin();
      return startPod(world);
    },
    isDone: async (world) => (await phaseOf(world)) === 'running',
    undo: removePod,
  },
  {
    name: 'stop a pod',
    setUp: async (world) => {
      await createPod(world);
      await startPod(world);
    },
    run: ({ client }, begin) => {
      begin();
      return client.stopPod(POD, { timeoutSeconds: 5 });
    },
    isDone: async (world) => (await phaseOf(world)) !== 'running',
    undo: removePod,
  },
  {
    name: 'remove a pod',
    setUp: async (world) => {
      await createPod(world);
      await startPod(world);
    },
    run: ({ client }, begin) => {
      begin();
      return client.removePod(POD);
    },
    isDone: async (world) => (await phaseOf(world)) === 'none',
    settle: removePod, // it may have been stopped, and no more
    undo: removePod,
  },
  {
    name: 'clear up after a crash',
    setUp: createPod,
    run: async (world, begin) => {
      world.plan('guest startContainer');
      await startPod(world).catch(() => undefined);
      if (!(await world.isDead(5_000))) return; // it has been cleared up before
      begin();
      await world.daemon.restart();
    },
    isDone: async (world) => ['failed', 'pending'].includes(await phaseOf(world)),
    undo: removePod,
  },
  {
    name: 'take in output',
    isOfLogs: true,
    run: async (world, begin) => {
      begin();
      await world.isDead(OUTPUT_MS);
    },
    isDone: async (world) => (await world.bystanderFault()) === undefined,
    undo: async () => undefined,
  },
  {
    name: 'pull an image',
    run: ({ client, image }, begin) => {
      begin();
      return all(client.images.pull(image));
    },
    isDone: (world) => hasImage(world, world.image),
    undo: (world) => removeImage(world, world.image),
  },
  {
    name: 'load an image',
    run: ({ client }, begin) => {
      begin();
      return all(client.images.load(Readable.from([ARCHIVE]), { name: LOADED }));
    },
    isDone: (world) => hasImage(world, LOADED),
    undo: (world) => removeImage(world, LOADED),
  },
  {
    name: 'remove an image',
    setUp: ({ client, image }) => all(client.images.pull(image)),
    run: ({ client, image }, begin) => {
      begin();
      return client.images.remove(image);
    },
    isDone: async (world) => !(await hasImage(world, world.image)),
    undo: (world) => removeImage(world, world.image),
  },
  {
    name: 'build an image',
    run: ({ client }, begin) => {
      begin();
      const context = layerTar([
        { name: 'Dockerfile', type: 'file', data: DOCKERFILE },
        { name: 'f', type: 'file', data: 'text' },
      ]);
      return all(client.images.build({ names: [BUILT], context: Readable.from([context]) }));
    },
    isDone: (world) => hasImage(world, BUILT),
    settle: ({ client }) => client.images.pruneBuilds({ all: true }),
    undo: async (world) => {
      await removeImage(world, BUILT);
      await world.client.images.pruneBuilds({ all: true });
    },
  },
  {
    name: 'commit a container',
    setUp: async (world) => {
      await createPod(world);
      await startPod(world);
    },
    run: ({ client }, begin) => {
      begin();
      return client.commit(POD, { reference: COMMITTED });
    },
    isDone: (world) => hasImage(world, COMMITTED),
    undo: async (world) => {
      await removeImage(world, COMMITTED);
      await removePod(world);
    },
  },
  {
    name: 'create a volume',
    run: ({ client }, begin) => {
      begin();
      return client.volumes.create(VOLUME);
    },
    isDone: async ({ client }) => (await client.volumes.list()).length > 0,
    undo: removePod,
  },
  {
    name: 'remove a volume',
    setUp: ({ client }) => client.volumes.create(VOLUME),
    run: ({ client }, begin) => {
      begin();
      return client.volumes.remove(VOLUME);
    },
    isDone: async ({ client }) => (await client.volumes.list()).length === 0,
    undo: removePod,
  },
  {
    name: 'create a network',
    needsBridges: true,
    run: ({ client }, begin) => {
      begin();
      return client.createNetwork({ name: NETWORK, subnet: '10.77.0.0/24' });
    },
    isDone: async ({ client }) => (await client.networks()).some(({ name }) => name === NETWORK),
    undo: removeNetwork,
  },
  {
    name: 'remove a network',
    needsBridges: true,
    setUp: ({ client }) => client.createNetwork({ name: NETWORK, subnet: '10.77.0.0/24' }),
    run: ({ client }, begin) => {
      begin();
      return client.removeNetwork(NETWORK);
    },
    isDone: async ({ client }) => !(await client.networks()).some(({ name }) => name === NETWORK),
    undo: removeNetwork,
  },
];

async function removeNetwork({ client }: World): Promise<void> {
  if ((await client.networks()).some(({ name }) => name === NETWORK)) await client.removeNetwork(NETWORK);
}
