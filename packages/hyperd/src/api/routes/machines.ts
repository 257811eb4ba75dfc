import { HyperError } from '../../errors.ts';
import { done, type Route } from '../call.ts';
import type { Parameters } from '../parameters.ts';
import type { RouteContext } from './context.ts';

const DEFAULT_VCPUS = 1;
const DEFAULT_MEMORY_MIB = 128;

/** Machines without a pod, as releases below 0.8 had them. */
export function machineRoutes({ pods }: RouteContext): Route[] {
  const remove = async ({ parameters }: { readonly parameters: Parameters }) => {
    const id = parameters.required('vm', 'vmId');
    await pods.removeMachine(id);
    return done(200, id);
  };
  return [
    {
      ...{ method: 'POST', path: '/vm/create', answers: '200 `ID`, `Code` 0, `Cause`' },
      summary: 'Starts a machine that waits for a pod (`POST /pod/start` with its id as `vmId`)',
      parameters: {
        cpu: `processors (default ${DEFAULT_VCPUS})`,
        mem: `MiB of memory (default ${DEFAULT_MEMORY_MIB})`,
        async: 'no effect: the answer comes when the machine is there, which takes less than a second',
      },
      handle: async ({ parameters }) => {
        const vcpus = numberOf(parameters, 'cpu', DEFAULT_VCPUS, 64);
        const memoryMib = numberOf(parameters, 'mem', DEFAULT_MEMORY_MIB, 1_048_576);
        return done(200, await pods.createMachine({ vcpus, memoryMib }));
      },
    },
    {
      ...{ method: 'DELETE', path: '/vm', parameters: { vm: 'id of the machine' } },
      summary: 'Ends a machine, and its pod where it has one; one that is not there is as good as ended',
      answers: '200 `ID`, `Code` 0, `Cause`',
      handle: remove,
    },
    {
      ...{ method: 'POST', path: '/vm/kill', parameters: { vm: 'id of the machine' } },
      summary: 'The same for clients of the first releases',
      answers: '200 `ID`, `Code` 0, `Cause`',
      handle: remove,
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
