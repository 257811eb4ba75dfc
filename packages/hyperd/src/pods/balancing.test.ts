import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHyperError } from '../errors.ts';
import { changedServices, type ServiceChange } from './balancing.ts';
import { parseServices } from './spec/index.ts';

const services = (...keys: string[]) =>
  parseServices(
    keys.map((key) => {
      const [serviceIP = '', port, protocol] = key.split(/[:/]/);
      return { serviceIP, servicePort: Number(port), protocol };
    }),
  );
const keys = (list: ReturnType<typeof services>): string[] =>
  list.map(({ serviceIP, servicePort, protocol }) => `${serviceIP}:${servicePort}/${protocol}`);

const cases: readonly (readonly [ServiceChange, string[], string[], string[]])[] = [
  ['add', ['10.0.0.1:80/tcp'], ['10.0.0.1:80/udp'], ['10.0.0.1:80/tcp', '10.0.0.1:80/udp']],
  ['update', ['10.0.0.1:80/tcp', '10.0.0.2:80/tcp'], ['10.0.0.3:80/tcp'], ['10.0.0.3:80/tcp']],
  ['update', ['10.0.0.1:80/tcp'], [], []],
  ['delete', ['10.0.0.1:80/tcp', '10.0.0.2:80/tcp'], ['10.0.0.1:80/tcp'], ['10.0.0.2:80/tcp']],
  ['delete', ['10.0.0.1:80/tcp'], ['10.0.0.9:80/tcp'], ['10.0.0.1:80/tcp']],
];
for (const [change, before, given, after] of cases) {
  test(`${change} of ${given} makes ${before} to ${after}`, () => {
    assert.deepEqual(keys(changedServices(services(...before), change, services(...given))), after);
  });
}

test('a service that is there is not added again', () => {
  const one = services('10.0.0.1:80/tcp');
  assert.throws(
    () => changedServices(one, 'add', one),
    (error) => isHyperError(error, 'conflict'),
  );
});
