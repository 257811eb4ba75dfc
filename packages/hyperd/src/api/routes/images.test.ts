import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HyperError } from '../../errors.ts';
import type { ImageDetails, ImageUsage, ImageUser, RegistryAuth } from '../../images/image-service.ts';
import { containerView, podView, send, startApi } from '../fake-services.ts';

const ID = `sha256:${'1'.repeat(64)}` as ImageUsage['id'];
const usage: ImageUsage = {
  ...{ id: ID, tags: ['busybox:latest'], digests: [`busybox@${ID}`], createdAt: new Date(1_500_000_000_500) },
  ...{ sizeBytes: 42, labels: { a: 'b' }, sharedBytes: 10, uniqueBytes: 32 },
};
const details: ImageDetails = {
  ...usage,
  ...{ architecture: 'amd64', os: 'linux', author: 'me', comment: 'c', config: { Cmd: ['sh'] } },
  ...{ diffIds: [ID], manifestDigest: ID },
};

test('/images/get and /images/json list the same images, filtered', async () => {
  const other: ImageUsage = {
    ...usage,
    id: `sha256:${'2'.repeat(64)}` as never,
    tags: ['debian:12'],
    digests: [],
  };
  await using api = await startApi({
    images: { list: async () => [usage, other], listUsage: async () => [usage, other] },
  });
  const strings = await send(api, 'GET /images/get?all=yes&quiet=no&filter=busybox');
  assert.equal(strings.body, `{"imagesList":["busybox:latest:${'1'.repeat(64)}:1500000000:42"]}\n`);
  const objects = await send(api, 'GET /images/json?filters=%7B%22reference%22%3A%5B%22busybox%22%5D%7D');
  assert.deepEqual(JSON.parse(objects.body), [
    {
      ...{ Id: ID, RepoTags: ['busybox:latest'], RepoDigests: [`busybox@${ID}`], Created: 1_500_000_000 },
      ...{ Size: 42, SharedSize: 10, UniqueSize: 32, Labels: { a: 'b' } },
    },
  ]);
  assert.equal((await send(api, 'GET /images/get?filters=nonsense')).status, 400);
});

test('/image/info and /image/history describe an image', async () => {
  const asked: string[] = [];
  await using api = await startApi({
    images: {
      inspect: async (name) => {
        asked.push(name);
        return details;
      },
      history: async (name) => {
        asked.push(name);
        return [
          {
            id: ID,
            createdAt: new Date(2000),
            createdBy: 'CMD sh',
            comment: 'c',
            tags: ['a:b'],
            sizeBytes: 0,
          },
          { id: undefined, createdAt: new Date(1000), createdBy: 'ADD', comment: '', tags: [], sizeBytes: 7 },
        ];
      },
    },
  });
  assert.deepEqual(JSON.parse((await send(api, 'GET /image/info?imageName=busybox')).body), {
    ...{ Id: ID, RepoTags: ['busybox:latest'], RepoDigests: [`busybox@${ID}`] },
    ...{
      Created: '2017-07-14T02:40:00.500Z',
      Author: 'me',
      Comment: 'c',
      Architecture: 'amd64',
      Os: 'linux',
    },
    ...{ Size: 42, Config: { Cmd: ['sh'] }, RootFS: { Type: 'layers', Layers: [ID] }, ManifestDigest: ID },
  });
  assert.deepEqual(JSON.parse((await send(api, 'GET /image/history?imageId=1111')).body), [
    { Id: ID, Created: 2, CreatedBy: 'CMD sh', Tags: ['a:b'], Size: 0, Comment: 'c' },
    { Id: '<missing>', Created: 1, CreatedBy: 'ADD', Tags: [], Size: 7, Comment: '' },
  ]);
  assert.deepEqual(asked, ['busybox', '1111']);
  assert.equal((await send(api, 'GET /image/info')).status, 400);
});

for (const [query, target] of [
  ['repo=team%2Fapp&tag=2', 'team/app:2'],
  ['repo=team%2Fapp', 'team/app'],
  ['target=team%2Fapp:3', 'team/app:3'],
] as const) {
  test(`/image/tag with ${query} gives the name ${target}`, async () => {
    const tagged: string[] = [];
    await using api = await startApi({
      images: { tag: async (source, name) => void tagged.push(source, name) },
    });
    const { status, body } = await send(api, `POST /image/tag?imageName=busybox&${query}`);
    assert.deepEqual([status, body], [201, `{"Cause":"","Code":0,"ID":"${target}"}\n`]);
    assert.deepEqual(tagged, ['busybox', target]);
  });
}
for (const query of ['imageName=busybox', 'imageName=busybox&tag=1', 'repo=a']) {
  test(`/image/tag with ${query} is 400`, async () => {
    await using api = await startApi({ images: { tag: () => assert.fail('it must not get that far') } });
    assert.equal((await send(api, `POST /image/tag?${query}`)).status, 400);
  });
}

for (const line of [
  'DELETE /image?imageId=busybox&force=yes',
  'POST /v0.4.0/images/remove?imageId=busybox&force=1',
]) {
  test(`${line.split('?')[0]} removes, in the spelling of the original`, async () => {
    await using api = await startApi({
      pods: { list: () => [] },
      images: {
        remove: async (name, { force }) => {
          assert.deepEqual([name, force], ['busybox', true]);
          return [{ untagged: 'busybox:latest' }, { deleted: ID }];
        },
      },
    });
    const { status, body } = await send(api, line);
    assert.deepEqual(
      [status, body],
      [200, `{"imagesList":[{"untaged":"busybox:latest"},{"deleted":"${ID}"}]}\n`],
    );
  });
}

test('removing nothing is 500, as in the original; an image in use is 409, an unknown one 404', async () => {
  let error = new HyperError('conflict', 'conflict: in use');
  await using api = await startApi({
    images: {
      remove: async () => {
        throw error;
      },
    },
  });
  const blank = await send(api, 'DELETE /image?imageId=%20');
  assert.deepEqual([blank.status, blank.body], [500, 'image name cannot be blank\n']);
  assert.equal((await send(api, 'DELETE /image?imageId=a')).status, 409);
  error = new HyperError('not-found', 'No such image: a:latest');
  assert.equal((await send(api, 'DELETE /image?imageId=a')).status, 404);
});

test('the image service is told which containers need an image, and which of them run', async () => {
  const other = `sha256:${'2'.repeat(64)}` as ImageUsage['id'];
  const exited = {
    phase: 'exited',
    startedAt: 1,
    finishedAt: 2,
    exitCode: 0,
    signal: 0,
    message: undefined,
  } as const;
  const container = (id: string, state: object): never =>
    containerView({ id: id as never, state: state as never }) as never;
  const pods = [
    podView({
      containers: [container('running', { phase: 'running', startedAt: 1 }), container('ended', exited)],
    }),
    podView({ containers: [container('again', { ...exited, restartsAt: 3 })] }),
    podView({ state: { phase: 'starting' }, containers: [container('soon', { phase: 'pending' })] }),
    podView({ state: { phase: 'pending' }, containers: [container('later', { phase: 'pending' })] }),
    podView({ containers: [containerView({ imageId: other })] }),
  ];
  const told: ImageUser[] = [];
  await using api = await startApi({
    pods: { list: () => pods },
    images: {
      prune: async ({ all, users }) => {
        assert.equal(all, true);
        told.push(...users(ID));
        return { removals: [{ untagged: 'a:b' }, { deleted: ID }], reclaimedBytes: 5 };
      },
    },
  });
  const { body } = await send(api, 'POST /images/prune?all=yes');
  assert.equal(body, `{"Removed":[{"Untagged":"a:b"},{"Deleted":"${ID}"}],"SpaceReclaimed":5}\n`);
  assert.deepEqual(
    told.map(({ container: id, isRunning }) => `${id} ${isRunning}`),
    ['running true', 'ended false', 'again true', 'soon true', 'later false'],
  );
});

test('/info has the members of the original, and disk usage, machines and pool among the status of the driver', async () => {
  await using api = await startApi({
    pods: { list: () => [podView()] },
    machines: {
      info: async () =>
        ({ driver: 'qemu', version: '7', accelerator: 'kvm', acceleratorReason: 'ok' }) as never,
      usage: () => ({
        ...{ starts: { pool: 3, clone: 1, boot: 1 }, outfitted: 2 },
        ...{ failedClones: 1, lastCloneFailure: 'no memory' },
        pool: {
          ...{ max: 4, wanted: 3, isMaking: true, failure: undefined },
          waiting: [
            { shape: { vcpus: 1, memoryMib: 128 }, outfit: undefined },
            { shape: { vcpus: 2, memoryMib: 64 }, outfit: `sha256:${'ab'.repeat(32)}` },
          ],
        },
      }),
    },
    images: { usage: async () => ({ images: 3, blobBytes: 1_234_567, rootfsBytes: 0 }) },
  });
  const info = JSON.parse((await send(api, 'GET /info')).body);
  assert.deepEqual([info.Images, info.Pods, info.Containers], [3, 1, 1]);
  assert.deepEqual(info.Pool, { max: 4, wanted: 3, ready: 2, making: true });
  assert.deepEqual(info.DriverStatus.slice(2), [
    ['Image blobs', '1.235 MB'],
    ['Root filesystems', '0 B'],
    ['Machines started', '3 from the pool (2 ready for their image), 1 cloned, 1 booted'],
    ['Clones that failed', '1, the last one: no memory'],
    ['Pool', '2 waiting, one in the making, of at most 4'],
    ['Pool machines', '1 CPU 128 MiB, 2 CPU 64 MiB for abababababab'],
  ]);
});

const login = async (auth: RegistryAuth): Promise<string> => {
  if (auth.password !== 'right') throw new HyperError('unauthorized', 'Wrong login/password');
  return 'Login Succeeded';
};
for (const [body, status, answer] of [
  [
    '{"Username":"u","password":"right","serveraddress":"localhost:1"}',
    200,
    '{"Status":"Login Succeeded"}\n',
  ],
  ['{"username":"u","password":"wrong"}', 401, 'Wrong login/password\n'],
  ['', 400, 'read credentials: the body holds no username and password\n'],
  ['[]', 400, 'read credentials: want an object of username, password, serveraddress\n'],
] as const) {
  test(`/auth with ${body || 'no body'} is ${status}, whatever the content type`, async () => {
    await using api = await startApi({ images: { login } });
    for (const headers of [[], ['Content-Type: text/plain']]) {
      const reply = await send(api, 'POST /auth', headers, body);
      assert.deepEqual([reply.status, reply.body], [status, answer]);
    }
  });
}
