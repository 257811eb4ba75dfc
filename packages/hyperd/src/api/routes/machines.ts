import { HyperError } from '../../errors.ts';
import { done, type PlainRoute, type Route } from '../call.ts';
import { integer, needed, ofSchema } from '../describe.ts';
import type { Parameters } from '../parameters.ts';
import { ActionAnswer } from '../shapes/schemas.ts';
import type { RouteContext } from './context.ts';

const DEFAULT_VCPUS = 1;
const DEFAULT_MEMORY_MIB = 128;

/** Machines without a pod, as releases below 0.8 had them. */
export function machineRoutes({ pods }: RouteContext): Route[] {
  const removed: Omit<PlainRoute, 'method' | 'path'> = {
    summary: 'Ends a machine, and its pod where it has one; one that is not there is as good as ended',
    parameters: { 'vm/vmId': needed('id of the machine') },
    answers: { 200: ofSchema(ActionAnswer, '`ID`, `Code` 0, `Cause`') },
    handle: async ({ parameters }) => {
      const id = parameters.text('vm', 'vmId');
      await pods.removeMachine(id);
      return done(200, id);
    },
  };
  return [
    {
      ...{ method: 'POST', path: '/vm/create' },
      summary: 'Starts a machine that waits for a pod (`POST /pod/start` with its id as `vmId`)',
      parameters: {
        cpu: integer(`processors (default ${DEFAULT_VCPUS})`),
        mem: integer(`MiB of memory (default ${DEFAULT_MEMORY_MIB})`),
        async: 'no effect: the answer comes when the machine is there, which takes less than a second',
      },
      answers: {
        200: ofSchema(ActionAnswer, '`ID`, `Code` 0, `Cause`'),
        500: 'a number that is none, or the machine does not start',
      },
      handle: async ({ parameters }) => {
        const vcpus = numberOf(parameters, 'cpu', DEFAULT_VCPUS, 64);
        const memoryMib = numberOf(parameters, 'mem', DEFAULT_MEMORY_MIB, 1_048_576);
        return done(200, await pods.createMachine({ vcpus, memoryMib }));
      },
    },
    { ...removed, method: 'DELETE', path: '/vm' },
    {
      ...removed,
      ...{ method: 'POST', path: '/vm/kill' },
      summary: 'The same for clients of the first releases',
    },
  ];
}

function numberOf(parameters: Parameters, name: string, otherwise: number, most: number): number {
  const text = parameters.text(name).trim();
  if (text === '') return otherwise;
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new HyperError(
    'invalid-spec',
    `create machine: "${name}" is "${text}"; want a whole number from 1 to ${most}`,
  );
}
