// The wire contract with clients of the original daemon: the life of a pod, call by call. The tests are the steps of one walk.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from './support/daemon.ts';
import { AnswerSchemas } from './support/openapi.ts';
import {
  frame,
  type RestOptions,
  type RestReply,
  RestSession,
  rest,
  UPGRADED,
  unframed,
} from './support/rest.ts';
import { atStart, sharedDaemon } from './support/shared.ts';

const daemon = sharedDaemon();
let schemas: AnswerSchemas;
atStart(async () => {
  schemas = await AnswerSchemas.of(daemon.socket);
});

const DONE = '{"Cause":"","Code":0,"ID":"walk"}\n';
const SPEC = {
  id: 'walk',
  Hostname: 'walker', // keys match in any case
  type: null, // null is as good as absent
  unheardOf: { ignored: true },
  labels: { a: '1' },
  resource: { vcpu: 1, memory: 128 },
  containers: [
    {
      name: 'main',
      image: 'busybox',
      entryPoint: ['sh', '-c'],
      command: ['echo out; echo err >&2; printf unended; exec cat'],
      envs: [{ env: 'A', value: 'b=c' }, { env: 'EMPTY' }],
      workdir: '/tmp',
    },
    { name: 'term', image: 'busybox:latest', tty: true, command: ['sh'] },
  ],
};

/** A call whose answer has to be as the daemon's own document says. */
async function call(line: string, options: RestOptions = {}): Promise<RestReply> {
  const reply = await rest(daemon.socket, line.replaceAll('"', '%22').replaceAll(' -', '%20-'), options);
  const isCurrent = !/ \/v0\./.test(line); // the document tells what today's clients get
  if (isCurrent && !line.includes('portmappings')) schemas.check(line, reply);
  return reply;
}
const json = (value: unknown): RestOptions => ({
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(value),
});
const parsed = async (line: string, options: RestOptions = {}) =>
  JSON.parse((await call(line, options)).body);
const answer = ({ status, body }: RestReply): [number, string] => [status, body];
const output = (text: string): string => text.slice(UPGRADED.length);

let main = '';
let beforeStart: RestSession;

test('create answers 201; the pod is pending, without machine', async () => {
  assert.deepEqual(answer(await call('POST /v1.1.0/pod/create', json(SPEC))), [201, DONE]);
  assert.equal((await call('GET /list?item=pod')).body, '{"item":"pod","podData":["walk:walk::pending"]}\n');
  const { cData } = await parsed('GET /list?item=container&pod=walk');
  assert.match(cData[0], /^[0-9a-f]{64}:main:walk:pending$/);
  main = cData[0].slice(0, 64);
});

test('a name that is taken is 500, of a pod and of a container', async () => {
  const pod = await call('POST /pod/create', json({ id: 'walk' }));
  assert.deepEqual(answer(pod), [500, 'pod name walk has already in use\n']);
  const container = { name: 'main', image: 'busybox' };
  const other = await call('POST /pod/create', json({ id: 'other', containers: [container] }));
  assert.deepEqual(answer(other), [500, 'container name main has already taken by pod walk\n']);
});

test('PodInfo of a pending pod has the fields of the original, and none that are empty', async () => {
  const info = await parsed('GET /v1.1.0/pod/info?podName=walk');
  assert.deepEqual(
    [info.podID, info.podName, info.kind, info.apiVersion, info.vm, info.status.phase],
    ['walk', 'walk', 'Pod', '1.17', undefined, 'Pending'],
  );
  assert.deepEqual([info.spec.vcpu, info.spec.memory, info.spec.labels], [1, 128, { a: '1' }]);
  const [first, second] = info.spec.containers;
  assert.match(first.imageID, /^sha256:[0-9a-f]{64}$/);
  assert.deepEqual(
    [first.name, first.containerID, first.image, first.commands, first.workingDir, first.tty],
    ['/main', main, 'busybox', ['sh'], '/tmp', undefined],
  );
  assert.ok(first.env.some((pair: object) => JSON.stringify(pair) === '{"env":"A","value":"b=c"}'));
  assert.deepEqual([second.name, second.tty], ['/term', true]);
  assert.deepEqual(info.status.containerStatus[0], {
    ...{ name: 'main', containerID: main, phase: 'pending' },
    ...{ waiting: { reason: 'Pending' }, running: {}, terminated: {} },
  });
  assert.equal((await call('GET /v0.5.0/pod/info?podName=walk')).status, 201);
});

test('what a pending pod cannot do is refused; its exit code is 0 at once', async () => {
  assert.deepEqual(answer(await call('GET /exitcode?container=main')), [200, '0\n']);
  const stats = await call('GET /pod/stats?podId=walk');
  assert.deepEqual(answer(stats), [500, 'Can not get pod stats for non-running pod (walk)\n']);
  assert.equal((await call('POST /pod/pause?podId=walk')).status, 500);
  assert.equal((await call('POST /pod/unpause?podId=walk')).status, 500);
  assert.deepEqual(answer(await call('POST /container/kill?container=main')), [201, '{}\n']);
});

test('labels are added, and replaced only with override', async () => {
  const set = (labels: object, query = '') =>
    call(`POST /pod/labels?podId=walk&labels=${encodeURIComponent(JSON.stringify(labels))}${query}`);
  assert.deepEqual(answer(await set({ b: '2' })), [201, DONE]);
  assert.deepEqual(answer(await set({ a: '3' })), [500, "Can't update label a without override flag\n"]);
  assert.equal((await set({ a: '3' }, '&override=on')).status, 500, '"on" is none of its words');
  assert.equal((await set({ a: '3' }, '&override=yes')).status, 201);
  assert.deepEqual((await parsed('GET /pod/info?podName=walk')).spec.labels, { a: '3', b: '2' });
});

test('the parameters may be a form', async () => {
  const form = {
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    body: `podId=walk&labels=${encodeURIComponent('{"c":"4 5"}')}`,
  };
  assert.deepEqual(answer(await call('POST /pod/labels', form)), [201, DONE]);
  assert.equal((await parsed('GET /pod/info?podName=walk')).spec.labels.c, '4 5');
});

test('a client that attaches before the start gets all output, in frames', async () => {
  beforeStart = new RestSession(daemon.socket, '/v1.17/attach?container=main', [
    ...['Content-Type: text/plain', 'Connection: Upgrade', 'Upgrade: tcp'],
  ]);
  await beforeStart.until(/^HTTP/);
  assert.deepEqual(answer(await call('POST /v1.1.0/pod/start?podId=walk')), [200, '{}\n']);
  const text = await beforeStart.until(/unended/);
  assert.ok(text.startsWith(UPGRADED));
  await beforeStart.until(/err\n/);
  assert.deepEqual(unframed(output(beforeStart.text)), { stdout: 'out\nunended', stderr: 'err\n' });
});

test('a running pod is listed with its machine, its containers, addresses and times', async () => {
  const [pod] = (await parsed('GET /list?item=pod')).podData;
  const [, vm] = /^walk:walk:(vm-[A-Za-z]{10}):running$/.exec(pod) ?? [];
  assert.ok(vm, pod);
  assert.deepEqual(await parsed('GET /list?item=vm'), { item: 'vm', vmData: [`${vm}:walk:associated`] });
  assert.deepEqual((await parsed(`GET /list?item=pod&vm=${vm}`)).podData, [pod]);
  const info = await parsed('GET /pod/info?podName=walk');
  assert.deepEqual([info.vm, info.status.phase], [vm, 'Running']);
  assert.match(info.status.podIP[0], /^[\d.]+\/\d+$/);
  assert.match(info.status.startTime, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  const { status, podID } = await parsed('GET /container/info?container=main');
  assert.deepEqual([podID, status.phase, status.waiting, status.terminated], ['walk', 'running', {}, {}]);
  assert.ok(status.running.startedAt);
  assert.equal((await call('GET /v0.5.0/container/info?container=main')).status, 201);
});

test('a container is found by name, id and unique prefix of its id', async () => {
  for (const reference of ['main', main, main.slice(0, 12)]) {
    const { container } = await parsed(`GET /container/info?container=${reference}`);
    assert.equal(container.containerID, main);
  }
});

test('logs: a frame a line, time stamps of nine digits, tail; raw below 0.6', async () => {
  const logs = async (query: string, prefix = '') =>
    rest(daemon.socket, `GET ${prefix}/container/logs?container=main&${query}`, { encoding: 'latin1' });
  await eventually('both streams are in the log', async () =>
    /out\n(?:.|\n)*err|err\n(?:.|\n)*out/.test((await logs('stdout=yes&stderr=yes')).body),
  );
  const both = await logs('stdout=1&stderr=1');
  assert.equal(both.headers['content-type'], 'text/plain; charset=utf-8');
  assert.equal(unframed(both.body).stderr, 'err\n');
  assert.equal((await logs('stderr=true')).body, frame(2, 'err\n'));
  assert.match(
    (await logs('stderr=on&timestamps=yes', '/v0.5.0')).body,
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z err\n$/,
  );
  assert.equal((await logs('stdout=1&stderr=1&tail=0')).body, '');
  assert.equal((await logs('stderr=1&since=99999999999')).body, '');
});

test('exec: create, start, output in frames, exit code', async () => {
  const created = await call(
    `POST /v1.1.0/exec/create?container=main&command=${encodeURIComponent('["sh","-c","echo o; echo e >&2; exit 37"]')}&tty=false`,
  );
  assert.equal(created.status, 201);
  assert.match(created.body, /^"exec-[A-Za-z]{10}"\n$/);
  const exec = JSON.parse(created.body);
  const session = new RestSession(daemon.socket, `/v1.17/exec/start?container=main&exec=${exec}`);
  assert.deepEqual(unframed(output(await session.end())), { stdout: 'o\n', stderr: 'e\n' });
  assert.deepEqual(answer(await call(`GET /exitcode?container=main&exec=${exec}`)), [200, '37\n']);
});

test('exec with a terminal: raw output, its size, and input to its end', async () => {
  const { body } = await call('POST /exec/create?container=main&command=["sh"]&tty=on');
  const exec = JSON.parse(body);
  const session = new RestSession(daemon.socket, `/exec/start?container=main&exec=${exec}`);
  await session.until(/# /);
  const size = await call(`POST /tty/resize?container=main&exec=${exec}&h=33&w=99`);
  assert.deepEqual(answer(size), [200, '']);
  session.socket.write('stty size\n');
  await session.until(/33 99/);
  session.socket.write('exit 3\n');
  await session.all();
  assert.equal((await call(`GET /exitcode?container=main&exec=${exec}`)).body, '3\n');
});

test('a program that is not there ends with 127', async () => {
  const exec = JSON.parse((await call('POST /exec/create?container=main&command=nope')).body);
  await new RestSession(daemon.socket, `/exec/start?container=main&exec=${exec}`).end();
  assert.equal((await call(`GET /exitcode?container=main&exec=${exec}`)).body, '127\n');
});

test('Ctrl-P Ctrl-Q end a session on a terminal and leave the container running', async () => {
  const session = new RestSession(daemon.socket, '/attach?container=term');
  session.socket.write('echo on-$((1+1))\n');
  await session.until(/on-2/);
  session.socket.write('\x10\x11');
  await session.all();
  assert.match((await parsed('GET /list?item=container&pod=walk')).cData[1], /:term:walk:running$/);
});

test('execvm runs outside of the containers, raw, where the guest has a /sbin/busybox', async () => {
  const command = encodeURIComponent('["/sbin/busybox","sh","-c","echo aaa; echo bbb >&2"]');
  const session = new RestSession(daemon.socket, `/v1.17/execvm?pod=walk&command=${command}`);
  const text = await session.end();
  const [head = '', ...rest] = text.split('\r\n\r\n');
  assert.ok(head.startsWith(UPGRADED.trimEnd()), head);
  assert.deepEqual(rest.join('').split('\n').sort(), ['', 'aaa', 'bbb']);
});

test('the end of the input ends the program; what comes after it is still told', async () => {
  const text = output(await beforeStart.end('more\n'));
  assert.deepEqual(unframed(text), { stdout: 'out\nunendedmore\n', stderr: 'err\n' });
  assert.equal((await call('GET /exitcode?container=main&exec=')).body, '0\n');
  const { status } = await parsed('GET /container/info?container=main');
  assert.deepEqual([status.phase, status.running, status.terminated.exitCode], ['succeeded', {}, undefined]);
  assert.deepEqual([status.terminated.reason, typeof status.terminated.finishedAt], ['Succeeded', 'string']);
});

let added = '';

test('a container is added to the running pod, and started', async () => {
  const spec = { name: 'added', image: 'busybox', command: ['sleep', '1000'], restartPolicy: 'never' };
  const created = await call('POST /v1.1.0/container/create?podId=walk', json(spec));
  assert.equal(created.status, 201);
  assert.match(created.body, /^\{"ID":"[0-9a-f]{64}"\}\n$/);
  added = JSON.parse(created.body).ID;
  assert.equal((await parsed(`GET /container/info?container=${added}`)).status.phase, 'pending');
  for (const _ of ['first', 'again'])
    assert.deepEqual(answer(await call(`POST /container/start?container=${added}`)), [200, '{}\n']);
  assert.equal((await parsed('GET /container/info?container=added')).status.phase, 'running');
});

test('a container is renamed', async () => {
  const renamed = await call('POST /container/rename?oldName=added&newName=/other.name');
  assert.deepEqual(answer(renamed), [200, '{"Cause":"","Code":0,"ID":"other.name"}\n']);
  assert.equal((await parsed(`GET /container/info?container=${added}`)).container.name, '/other.name');
  assert.equal((await call('POST /container/rename?oldName=other.name&newName=main')).status, 409);
});

test('a container that is killed has 137; stopped and removed it is gone', async () => {
  const killed = await call('POST /container/kill?container=other.name&signal=9');
  assert.deepEqual(answer(killed), [201, '{}\n']);
  assert.equal((await call('GET /exitcode?container=other.name')).body, '137\n');
  const { status } = await parsed('GET /container/info?container=other.name');
  assert.deepEqual(
    [status.phase, status.terminated.exitCode, status.terminated.reason],
    ['failed', 137, 'Failed'],
  );
  assert.deepEqual(answer(await call('POST /container/stop?container=other.name')), [200, '{}\n']);
  assert.deepEqual(answer(await call('POST /v0.7.0/container/stop?container=other.name')), [201, '{}\n']);
  assert.deepEqual(answer(await call('POST /container/remove?container=other.name')), [204, '']);
  assert.equal((await call(`GET /container/info?container=${added}`)).status, 404);
});

test('pause and unpause answer 204 and show in the lists', async () => {
  assert.deepEqual(answer(await call('POST /v1.1.0/pod/pause?podId=walk')), [204, '']);
  assert.match((await parsed('GET /list?item=pod')).podData[0], /:paused$/);
  assert.match((await parsed('GET /list?item=vm')).vmData[0], /:walk:paused$/);
  assert.equal((await parsed('GET /pod/info?podName=walk')).status.phase, 'Paused');
  assert.deepEqual(answer(await call('POST /v1.1.0/pod/unpause?podId=walk')), [204, '']);
  assert.equal((await parsed('GET /pod/info?podName=walk')).status.phase, 'Running');
});

test('stats, services and port mappings of a running pod', async () => {
  const stats = await parsed('GET /pod/stats?podId=walk');
  assert.ok(stats.cpu.usage.total > 0 && stats.memory.usage > 0);
  assert.ok(stats.network.interfaces[0].name);
  assert.deepEqual(answer(await call('GET /service/list?podId=walk')), [200, 'null\n']);
  const updated = await call('POST /service/update?podId=walk&services=[]');
  assert.deepEqual(answer(updated), [200, '["Result=success"]\n']);
  const service = encodeURIComponent('[{"serviceIP":"10.0.0.1","servicePort":80,"protocol":"TCP"}]');
  const added = await call(`POST /service/add?podId=walk&services=${service}`);
  assert.deepEqual(answer(added), [200, '["Result=success"]\n']);
  const listed = await parsed('GET /service/list?podId=walk');
  assert.deepEqual(listed, [{ serviceIP: '10.0.0.1', servicePort: 80, protocol: 'tcp' }]);
  assert.equal((await call(`POST /service/add?podId=walk&services=${service}`)).status, 409);
  assert.deepEqual(answer(await call(`DELETE /service?podId=walk&services=${service}`)), [
    ...[200, '["Result=success"]\n'],
  ]);
  assert.equal((await call('GET /service/list?podId=walk')).body, 'null\n');
  const ports = await call('GET /pod/walk/portmappings');
  assert.deepEqual(answer(ports), [200, '{"portMappings":[]}\n']);
});

test('a pod that was stopped is failed, may be stopped again, and starts again with what it had', async () => {
  const written = JSON.parse(
    (
      await call(
        `POST /exec/create?container=term&command=${encodeURIComponent('["sh","-c","echo 1 >/kept"]')}`,
      )
    ).body,
  );
  await new RestSession(daemon.socket, `/exec/start?container=term&exec=${written}`).end();
  for (const _ of ['first', 'again'])
    assert.deepEqual(answer(await call('POST /v1.1.0/pod/stop?podId=walk&stopVm=yes')), [200, DONE]);
  assert.deepEqual((await parsed('GET /list?item=pod')).podData, ['walk:walk::failed']);
  assert.equal((await parsed('GET /pod/info?podName=walk')).status.phase, 'Failed');
  assert.equal((await call('POST /pod/start?podId=walk')).status, 200);
  const read = JSON.parse((await call('POST /exec/create?container=term&command=["cat","/kept"]')).body);
  const session = new RestSession(daemon.socket, `/exec/start?container=term&exec=${read}`);
  assert.deepEqual(unframed(output(await session.end())), { stdout: '1\n', stderr: '' });
});

test('signal 9 to a pod ends it at once', async () => {
  assert.deepEqual(answer(await call('POST /pod/kill?podName=walk&signal=9')), [200, '{}\n']);
  assert.deepEqual((await parsed('GET /list?item=pod')).podData, ['walk:walk::failed']);
});

test('a pod that is removed is gone with its containers', async () => {
  assert.deepEqual(answer(await call('DELETE /v1.1.0/pod?podId=walk')), [200, DONE]);
  assert.deepEqual(await parsed('GET /list?item=container'), { cData: [], item: 'container' });
  assert.deepEqual(await parsed('GET /list?item=vm'), { item: 'vm', vmData: [] });
  assert.equal((await call('DELETE /pod?podId=walk')).status, 404);
});

test('an empty pod takes a container, which tells its pod', async () => {
  const pod = (await parsed('POST /pod/create', json({}))).ID;
  assert.match(pod, /^pod-[A-Za-z]{10}$/);
  const container = (await parsed(`POST /container/create?podId=${pod}`, json({ image: 'busybox' }))).ID;
  const info = await parsed(`GET /container/info?container=${container}`);
  assert.equal(info.podID, pod);
  assert.ok(info.container.name.startsWith(`/${pod}-busybox-`), info.container.name);
  assert.equal((await call(`DELETE /pod?podId=${pod}`)).status, 200);
});

test('the shell of an image answers in a frame to what is typed; a container without a name is the only one', async () => {
  const spec = { containers: [{ image: 'busybox' }] };
  const pod = (await parsed('POST /pod/create', json(spec))).ID;
  await call(`POST /pod/start?podId=${pod}`);
  const session = new RestSession(daemon.socket, '/attach?container=');
  session.socket.write('echo Hello Hyper\n');
  await session.until(/Hyper\n/);
  assert.equal(output(session.text), frame(1, 'Hello Hyper\n'));
  session.socket.destroy();
  assert.equal((await call(`DELETE /pod?podId=${pod}`)).status, 200);
});

for (const [prefix, isLeft] of [
  ['/v0.5.0', false],
  ['/v0.7.0', true],
] as const) {
  test(`${prefix}/pod/create with remove ${isLeft ? 'leaves' : 'removes'} the pod when it has ended`, async () => {
    const id = prefix.replace('/', '');
    const spec = { id, containers: [{ image: 'busybox', command: ['true'] }] };
    await call(`POST ${prefix}/pod/create?remove=yes`, json(spec));
    await call(`POST /pod/start?podId=${id}`);
    const listed = async () => (await parsed('GET /list?item=pod')).podData;
    const over = isLeft ? `${id}:${id}::succeeded` : undefined;
    await eventually('it is over', async () => (await listed())[0] === over);
    if (isLeft) await call(`DELETE /pod?podId=${id}`);
  });
}
