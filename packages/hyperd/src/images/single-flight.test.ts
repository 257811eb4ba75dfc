import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHyperError } from '../errors.ts';
import { SingleFlight } from './single-flight.ts';

test('all who ask at the same time share one piece of work; later ones begin anew', async () => {
  const flights = new SingleFlight<string, number>();
  let runs = 0;
  const work = async () => ++runs;
  assert.deepEqual(
    await Promise.all([flights.run('a', undefined, work), flights.run('a', undefined, work)]),
    [1, 1],
  );
  assert.equal(await flights.run('a', undefined, work), 2);
});

test('one who stops waiting does not end the work for the others; the last one does', async () => {
  const flights = new SingleFlight<string, string>();
  const gate = Promise.withResolvers<string>();
  let aborted = false;
  const work = (signal: AbortSignal) => {
    signal.addEventListener('abort', () => {
      aborted = true;
      gate.reject(new Error('aborted'));
    });
    return gate.promise;
  };
  const [first, second] = [new AbortController(), new AbortController()];
  const waits = [flights.run('a', first.signal, work), flights.run('a', second.signal, work)];
  first.abort();
  await assert.rejects(waits[0] as Promise<string>, (error) => isHyperError(error, 'canceled'));
  assert.equal(aborted, false);
  second.abort();
  await assert.rejects(waits[1] as Promise<string>, (error) => isHyperError(error, 'canceled'));
  assert.equal(aborted, true);
});

test('who stops waiting last is told when the work has ended; who asks meanwhile begins anew', async () => {
  const flights = new SingleFlight<string, string>();
  const cleanedUp = Promise.withResolvers<void>();
  let isClean = false;
  const client = new AbortController();
  const canceled = flights.run('a', client.signal, async (signal) => {
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    await cleanedUp.promise;
    isClean = true;
    return 'old';
  });
  client.abort();
  await new Promise(setImmediate);
  const next = flights.run('a', undefined, async () => `new, clean: ${isClean}`);
  cleanedUp.resolve();
  await assert.rejects(canceled, (error) => isHyperError(error, 'canceled'));
  assert.equal(isClean, true);
  assert.equal(await next, 'new, clean: true');
});
