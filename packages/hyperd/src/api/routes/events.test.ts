import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { createClient, EventsDroppedError } from '@hyperd/client';
import { Events } from '../../events/index.ts';
import { send, startApi } from '../fake-services.ts';

const pod = { id: 'p', spec: { labels: { long: 'x'.repeat(500) } } };

test('a client that does not read holds nothing up: it is dropped, and reads so in the last line', async () => {
  const events = new Events();
  await using api = await startApi({ events });
  using client = createClient(`unix://${api.socket}`);
  const stream = client.events();
  const first = stream.next();
  await client.ping(); // the stream is open by then
  events.pod(pod, 'create');
  assert.equal((await first).value?.action, 'create');
  for (let round = 0; round < 300; round++) {
    for (let i = 0; i < 100; i++) events.pod(pod, 'start');
    await setImmediate();
  }
  let read = 0;
  await assert.rejects(async () => {
    for await (const _ of stream) read++;
  }, EventsDroppedError);
  assert.ok(read >= 4096 && read < 30_000, `${read} were still to be had`);
});

test('times and filters that are none are 400, and what is known comes as lines of JSON', async () => {
  const events = new Events();
  await using api = await startApi({ events });
  for (const query of ['since=yesterday', 'until=-1', 'filters={', 'filters={"pods":[]}'])
    assert.equal((await send(api, `GET /events?${query.replaceAll('"', '%22')}`)).status, 400, query);
  events.pod(pod, 'create');
  events.machine('vm-a', 'start', { pod: 'p' });
  const { status, head, body } = await send(
    api,
    'GET /events?since=0&until=99999999999.5&filters={"type":["machine"]}'
      .replace('until=99999999999.5', `until=${Date.now() / 1000 + 1}`)
      .replaceAll('"', '%22'),
  );
  assert.equal(status, 200);
  assert.match(head, /content-type: application\/x-ndjson/i);
  const [line, rest] = body.split('\n');
  assert.equal(rest, '');
  const event = JSON.parse(line ?? '') as Record<string, unknown>;
  assert.deepEqual(
    [event.type, event.action, event.id, event.attributes],
    ['machine', 'start', 'vm-a', { pod: 'p' }],
  );
});
