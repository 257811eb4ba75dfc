// The wire contract with clients of the original's releases below 0.8, as these made their calls.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RestOptions, type RestReply, RestSession, rest, UPGRADED, unframed } from './support/rest.ts';
import { sharedDaemon } from './support/shared.ts';

const daemon = sharedDaemon();

const call = (line: string, options: RestOptions = {}) => rest(daemon.socket, line, options);
const parsed = async (line: string) => JSON.parse((await call(line)).body);
const answer = ({ status, body }: RestReply): [number, unknown] => [status, JSON.parse(body)];
const done = (ID: string, Code = 0) => ({ Cause: '', Code, ID });
/** The pod as clients below 0.8 send it: everything there, empty or null. */
const pod = (id: string, command: string[], more: object = {}): RestOptions => ({
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify({
    ...{
      id,
      hostname: '',
      tty: false,
      type: '',
      restartPolicy: '',
      files: [],
      volumes: [],
      interfaces: null,
    },
    ...{ labels: {}, services: null, dns: null, log: { type: '', config: {} } },
    ...{ portmappingWhiteLists: null, resource: { vcpu: 1, memory: 128 } },
    containers: [
      {
        ...{ name: id, image: 'busybox', command, workdir: '/', entrypoint: [], ports: [], envs: [] },
        ...{ volumes: [], files: [], restartPolicy: 'never', sysctl: null, ...more },
      },
    ],
  }),
});
const session = (path: string, agent?: string) =>
  new RestSession(daemon.socket, path, [
    ...(agent ? [`User-Agent: Hyper-Client/${agent}`] : []),
    ...['Content-Type: text/plain', 'Connection: Upgrade', 'Upgrade: tcp'],
  ]);
const output = (text: string): string => {
  assert.ok(text.startsWith(UPGRADED), text);
  return text.slice(UPGRADED.length);
};

test('run of 0.7: a machine, a pod, an attached start in that machine, the exit code', async () => {
  const machine = await call('POST /v0.7.0/vm/create?async=yes&cpu=1&mem=128');
  assert.equal(machine.status, 200);
  const vm = JSON.parse(machine.body).ID;
  assert.match(vm, /^vm-[A-Za-z]{10}$/);
  assert.deepEqual(JSON.parse(machine.body), done(vm));
  assert.deepEqual(await parsed('GET /v0.7.0/list?item=vm'), { item: 'vm', vmData: [`${vm}::idle`] });
  const created = await call(
    'POST /v0.7.0/pod/create',
    pod('seven', ['sh', '-c', 'echo out; echo err >&2; exit 5']),
  );
  assert.deepEqual(answer(created), [201, done('seven')]);
  const started = session(`/v1.17/pod/start?attach=yes&podId=seven&vmId=${vm}`, '0.7.0');
  assert.deepEqual(unframed(output(await started.end())), { stdout: 'out\n', stderr: 'err\n' });
  const { cData } = await parsed('GET /v0.7.0/list?item=container&pod=seven');
  const [id, name, owner, status] = cData[0].split(':');
  assert.deepEqual([name, owner, status], ['seven', 'seven', 'failed']);
  assert.equal((await call(`GET /v0.7.0/exitcode?container=${id}&exec=`)).body, '5\n');
  assert.deepEqual(answer(await call('DELETE /v0.7.0/pod?podId=seven')), [200, done('seven')]);
});

test('start and stop of 0.7: the machine that was asked for is echoed, the code is 2', async () => {
  await call('POST /v0.7.0/pod/create', pod('plain', ['sleep', '1000']));
  const started = await call('POST /v0.7.0/pod/start?podId=plain&vmId=');
  assert.deepEqual(answer(started), [200, { Cause: 'Start POD success', Code: 0, ID: '' }]);
  assert.deepEqual(answer(await call('POST /v0.7.0/pod/stop?podId=plain&stopVm=yes')), [
    200,
    done('plain', 2),
  ]);
  assert.deepEqual(answer(await call('POST /v0.7.0/pod/stop?podId=plain&stopVm=yes')), [
    200,
    done('plain', 2),
  ]);
  assert.deepEqual((await parsed('GET /list?item=pod')).podData, ['plain:plain::failed']);
  await call('DELETE /v0.7.0/pod?podId=plain');
});

test('a machine that is not there cannot be started in', async () => {
  await call('POST /v0.7.0/pod/create', pod('homeless', ['true']));
  const started = await call('POST /v0.7.0/pod/start?podId=homeless&vmId=vm-nowherexxx');
  assert.ok(started.status >= 400, started.body);
  assert.match(started.body, /vm-nowherexxx/);
  await call('DELETE /pod?podId=homeless');
});

test('run of 0.5: an attached start by tag has no frames, and its tag tells the exit code', async () => {
  const created = await call(
    'POST /v0.5.0/pod/create',
    pod('five', ['sh', '-c', 'read x; echo got $x; exit 6']),
  );
  assert.deepEqual(answer(created), [200, done('five')]);
  const started = session('/v1.17/pod/start?podId=five&vmId=&tag=abcd1234');
  assert.equal(output(await started.end('line\n')), 'got line\n');
  const { Item, item, cData } = await parsed('GET /v0.5.0/list?item=container&pod=five');
  assert.deepEqual([Item, item], ['container', 'container']);
  const [id] = cData[0].split(':');
  assert.equal((await call(`GET /v0.5.0/exitcode?container=${id}&tag=abcd1234`)).body, '6\n');
  assert.deepEqual(answer(await call('DELETE /v0.5.0/pod?podId=five')), [200, done('five')]);
});

test('exec and attach of 0.5: type, value and tag; the machine is kept by stop, and used again', async () => {
  await call('POST /v0.5.0/pod/create', pod('old', ['sh'], { tty: true }));
  await call('POST /v0.5.0/pod/start?podId=old&vmId=&tag=');
  const command = encodeURIComponent('["sh","-c","cat; exit 7"]');
  const exec = session(`/v1.17/exec?type=container&value=old&command=${command}&tag=tag-exec`);
  assert.equal(output(await exec.end('through')), 'through');
  assert.equal((await call('GET /v0.5.0/exitcode?container=old&tag=tag-exec')).body, '7\n');

  const attached = session('/v1.17/attach?type=container&value=old&tag=tag-attach');
  await attached.until(/^HTTP/);
  assert.equal((await call('POST /v0.5.0/tty/resize?h=31&w=91&id=old&tag=tag-attach')).status, 200);
  attached.socket.write('stty size\n');
  await attached.until(/31 91/);
  attached.socket.destroy();

  const vm = (await parsed('GET /v0.5.0/list?item=vm')).vmData[0].split(':')[0];
  const inMachine = encodeURIComponent('["/sbin/busybox","sh","-c","echo in the guest; exit 4"]');
  const execVm = session(`/v1.17/exec?type=pod&value=${vm}&command=${inMachine}&tag=tag-vm`);
  assert.match(await execVm.end(), /\r\n\r\nin the guest\n$/);
  assert.equal((await call('GET /v0.5.0/exitcode?container=&tag=tag-vm')).body, '4\n');

  const stopped = await call('POST /v0.5.0/pod/stop?podId=old&stopVM=no');
  assert.deepEqual(answer(stopped), [200, done('old', 4)]);
  assert.deepEqual((await parsed('GET /v0.5.0/list?item=vm')).vmData, [`${vm}::idle`]);
  const again = await call(`POST /v0.5.0/pod/start?podId=old&vmId=${vm}&tag=`);
  assert.deepEqual(answer(again), [200, { Cause: 'Start POD success', Code: 0, ID: vm }]);
  assert.deepEqual(answer(await call('POST /v0.5.0/pod/stop?podId=old&stopVm=yes')), [200, done('old', 2)]);
  assert.deepEqual((await parsed('GET /list?item=vm')).vmData, []);
  await call('POST /v0.4.0/pod/remove?podId=old');
});

test('DELETE /vm ends a machine that waits, with code 0', async () => {
  const { ID } = await parsed('POST /v0.5.0/vm/create');
  assert.deepEqual(answer(await call(`DELETE /v0.5.0/vm?vm=${ID}`)), [200, done(ID)]);
  assert.deepEqual((await parsed('GET /list?item=vm')).vmData, []);
});

test('run and remove of 0.4: the specification comes as podArgs', async () => {
  const podArgs = encodeURIComponent(String(pod('four', ['sleep', '1000']).body));
  assert.deepEqual(answer(await call(`POST /v0.4.0/pod/run?podArgs=${podArgs}&remove=no`)), [
    200,
    done('four'),
  ]);
  assert.match((await parsed('GET /v0.4.0/list?item=pod')).podData[0], /^four:four:vm-\w+:running$/);
  assert.deepEqual(answer(await call('POST /v0.4.0/pod/remove?podId=four')), [200, done('four')]);
  assert.deepEqual((await parsed('GET /list?item=pod')).podData, []);
});

test('the first document of the API is served as it is written', async () => {
  const podArgs = encodeURIComponent(String(pod('seed', ['sleep', '1000']).body));
  assert.equal((await parsed(`POST /pod/create?podArgs=${podArgs}`)).ID, 'seed');
  const { ID } = await parsed('POST /vm/create');
  assert.equal((await call(`POST /pod/start?podId=seed&vmId=${ID}`)).status, 200);
  assert.deepEqual((await parsed('GET /list?item=vm')).vmData, [`${ID}:seed:associated`]);
  assert.equal((await parsed('POST /pod/stop?podId=seed&stopVM=no')).Code, 0);
  assert.deepEqual((await parsed('GET /list?item=vm')).vmData, [`${ID}::idle`]);
  assert.equal((await parsed(`DELETE /vm?vm=${ID}`)).Code, 0);
  assert.equal((await parsed('DELETE /pod?podId=seed')).Code, 0);
});
