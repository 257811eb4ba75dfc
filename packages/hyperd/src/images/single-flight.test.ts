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
