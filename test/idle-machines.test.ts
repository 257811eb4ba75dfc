import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from './support/daemon.ts';
import { rest } from './support/rest.ts';
import { sharedDaemon } from './support/shared.ts';

const daemon = sharedDaemon();

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

async function call(method: string, path: string, sent?: object): Promise<Answer> {
  const options = sent && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(sent) };
  const { status, headers, body } = await rest(daemon.socket, `${method} ${path}`, options);
  const isJson = headers['content-type'] === 'application/json';
  return { status, body: isJson ? JSON.parse(body) : { text: body } };
}

async function machines(): Promise<string[]> {
  return (await call('GET', '/list?item=vm')).body.vmData as string[];
}

const pod = (id: string, ...command: string[]): object => ({
  ...{ id, containers: [{ name: `${id}-c`, image: 'busybox', command }] },
});

test('a machine waits for a pod, is kept by it, and serves the next one as if it were new', async () => {
  const { status, body } = await call('POST', '/v0.5.0/vm/create?cpu=1&mem=160');
  assert.deepEqual([status, body.Code], [200, 0]);
  const vm = String(body.ID);
  assert.deepEqual(await machines(), [`${vm}::idle`]);
  await call('POST', '/pod/create', pod('first', 'sh', '-c', 'hostname; echo left > /left; sleep 1000'));
  assert.equal((await call('POST', `/pod/start?podId=first&vmId=${vm}`)).status, 200);
  assert.deepEqual(await machines(), [`${vm}:first:associated`]);
  await eventually('it has said its name', async () =>
    /^first$/m.test((await daemon.hyperctl(['logs', 'first-c'])).stdout),
  );
  const stopped = await call('POST', '/v0.5.0/pod/stop?podId=first&stopVM=no');
  assert.equal(stopped.body.Code, 4);
  assert.deepEqual(await machines(), [`${vm}::idle`]);
  await daemon.kill();
  await daemon.restart();
  assert.deepEqual(await machines(), [`${vm}::idle`]);
  await call('POST', '/pod/create', pod('second', 'sh', '-c', 'hostname; ls /left; ps | wc -l'));
  assert.equal((await call('POST', `/pod/start?podId=second&vmId=${vm}`)).status, 200);
  await daemon.hyperctl(['wait', 'second-c']);
  const { stdout } = await daemon.hyperctl(['logs', 'second-c']);
  assert.match(stdout, /^second$/m);
  assert.doesNotMatch(stdout, /^\/left$/m);
  await eventually('its pod is over', async () => (await machines()).length === 0);
  for (const id of ['first', 'second']) await call('DELETE', `/pod?podId=${id}`);
});

test('a machine is ended by its id, with or without a pod; one that is not there is as good as ended', async () => {
  const { body } = await call('POST', '/vm/create');
  assert.equal((await call('DELETE', `/vm?vm=${body.ID}`)).body.Code, 0);
  assert.deepEqual(await machines(), []);
  assert.deepEqual(daemon.machinePids(), []);
  await call('POST', '/pod/create', pod('third', 'sleep', '1000'));
  await call('POST', '/pod/start?podId=third');
  const [vm] = (await machines()).map((text) => text.split(':')[0]);
  await call('DELETE', `/vm?vm=${vm}`);
  assert.match((await daemon.hyperctl(['list'])).stdout, /^third .*failed$/m);
  assert.equal((await call('DELETE', '/vm?vm=vm-none')).status, 200);
  await call('DELETE', '/pod?podId=third');
});

test('bad numbers, and machines that cannot be had, are told', async () => {
  assert.match(
    String((await call('POST', '/vm/create?cpu=many')).body.text),
    /"cpu" is "many"; want a whole number from 1/,
  );
  await call('POST', '/pod/create', pod('fourth', 'true'));
  const { status, body } = await call('POST', '/pod/start?podId=fourth&vmId=vm-none');
  assert.equal(status, 404);
  assert.match(String(body.text), /vm-none/);
  await call('DELETE', '/pod?podId=fourth');
});

test('a running pod tells what it has used; one that does not run says so', async () => {
  await call(
    'POST',
    '/pod/create',
    pod('used', 'sh', '-c', 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 1000'),
  );
  assert.equal((await call('GET', '/pod/stats?podId=used')).status, 500);
  await call('POST', '/pod/start?podId=used');
  const total = ({ body }: Answer): number => (body.cpu as { usage: { total: number } }).usage.total;
  const first = await call('GET', '/pod/stats?podId=used');
  await eventually(
    'it has used more',
    async () => total(await call('GET', '/pod/stats?podId=used')) > total(first) + 1e6,
  );
  const { body } = await call('GET', '/pod/stats?podId=used');
  const { interfaces } = body.network as { interfaces: { name: string; rx_bytes: number }[] };
  assert.equal(interfaces.length, 1);
  const memory = body.memory as { usage: number; working_set: number; limit: number };
  assert.ok(memory.usage > 100_000 && memory.working_set <= memory.usage && memory.usage < memory.limit);
  assert.equal((body.container_stats as { processes: number }[])[0]?.processes, 1);
  await call('DELETE', '/pod?podId=used');
});
