import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ApiError, type Client } from '../packages/client/src/index.ts';
import { type Outcome, PodsModel } from '../packages/hyperd/src/pods/pods.model.ts';
import { eventually, pidsMentioning } from './support/daemon.ts';
import { sharedClient, sharedDaemon } from './support/shared.ts';

/** Few and short: the same model is tried on thousands of sequences without machines (pods/pods.test.ts). */
const RUNS = Number(process.env.E2E_RUNS ?? 3);
const MAX_COMMANDS = 14;
/** Restarts wait, and the machine of the tests may be slow. */
const SETTLED_MS = 90_000;

const daemon = sharedDaemon();
const client = sharedClient(daemon);

/** Ends when it is asked to, or with the code that is written to /end. */
const OBEDIENT =
  'rm -f /end; trap "exit 143" TERM; while [ ! -e /end ]; do sleep 0.1; done; exit $(cat /end)';
const STUBBORN = 'rm -f /end; trap "" TERM; while [ ! -e /end ]; do sleep 0.1; done; exit $(cat /end)';

interface Operation {
  readonly label: string;
  readonly expect: (model: PodsModel) => Outcome;
  readonly act: () => Promise<unknown>;
}

class Command implements fc.AsyncCommand<PodsModel, Client> {
  readonly #operation: Operation;

  constructor(operation: Operation) {
    this.#operation = operation;
  }

  check(): boolean {
    return true;
  }

  async run(model: PodsModel): Promise<void> {
    const { label, expect, act } = this.#operation;
    const expected = expect(model);
    const outcome = await act().then(
      () => 'ok',
      (error: unknown) => (error instanceof ApiError ? error.code : Promise.reject(error)),
    );
    assert.equal(outcome, expected);
    let difference: unknown;
    await eventually(
      `what is said after ${label} is what the model says`,
      async () => {
        try {
          assert.deepEqual(await described(), modelled(model));
          return true;
        } catch (error) {
          difference = error;
          return false;
        }
      },
      SETTLED_MS,
    ).catch((error: unknown) => {
      throw new Error(String(error), { cause: difference });
    });
    const alive = [...model.pods.values()].filter(({ phase }) => phase === 'running' || phase === 'paused');
    await eventually('machines are those of the pods', () => daemon.machinePids().length === alive.length);
  }

  toString(): string {
    return this.#operation.label;
  }
}

/** What a client sees of all pods: phase, and each container's phase and exit code. */
async function described(): Promise<object> {
  const pods = await client.pods();
  const entries = pods.map(async ({ id, status }) => {
    const { status: own } = await client.podInfo(id);
    const containers = (own.containerStatus ?? []).map(({ name, phase, terminated }) => [
      name,
      phase === 'succeeded' || phase === 'failed' ? `exited ${terminated.exitCode ?? 0}` : phase,
    ]);
    return [id, [status, Object.fromEntries(containers)]];
  });
  return Object.fromEntries(await Promise.all(entries));
}

function modelled({ pods }: PodsModel): object {
  return Object.fromEntries(
    [...pods].map(([id, { phase, containers }]) => [
      id,
      [
        phase,
        Object.fromEntries(
          [...containers].map(([name, container]) => [
            name,
            container.phase === 'exited' ? `exited ${container.exitCode}` : container.phase,
          ]),
        ),
      ],
    ]),
  );
}

const POD = 'p';
const container = fc.record({
  isStubborn: fc.boolean(),
  policy: fc.constantFrom('never' as const, 'never' as const, 'onFailure' as const),
});
type Choice = typeof container extends fc.Arbitrary<infer T> ? T : never;

const specOf = (name: string, { isStubborn, policy }: Choice): object => ({
  ...{ name, image: 'busybox', restartPolicy: policy },
  command: ['sh', '-c', isStubborn ? STUBBORN : OBEDIENT],
});
const pending = (choice: Choice) => ({ ...choice, phase: 'pending' as const, exitCode: 0 });

const create = fc
  .record({
    keepMachine: fc.boolean(),
    autoRemove: fc.boolean(),
    choices: fc.array(container, { maxLength: 2 }),
  })
  .map(({ keepMachine, autoRemove, choices }): Operation => {
    const named = choices.map((choice, index) => [`${POD}-${index}`, choice] as const);
    return {
      label: `create(${JSON.stringify({ keepMachine, autoRemove, choices })})`,
      expect: (model) =>
        model.create(POD, {
          ...{ keepMachine, autoRemove },
          containers: new Map(named.map(([name, choice]) => [name, pending(choice)])),
        }),
      act: () =>
        client.createPod({
          ...{ id: POD, keepVm: keepMachine, autoRemove },
          containers: named.map(([name, choice]) => specOf(name, choice)),
        }),
    };
  });

/** An operation on the pod or a container of it. */
const op = (
  label: string,
  expect: Operation['expect'],
  act: () => Promise<unknown>,
): fc.Arbitrary<Operation> => fc.constant({ label, expect, act });
const onContainer = (
  label: string,
  expect: (model: PodsModel, name: string) => Outcome,
  act: (name: string) => Promise<unknown>,
): fc.Arbitrary<Operation> =>
  fc.constantFrom(`${POD}-0`, `${POD}-1`).map((name) => ({
    label: `${label}(${name})`,
    expect: (model) => expect(model, name),
    act: () => act(name),
  }));

const operations = fc.oneof(
  { weight: 3, arbitrary: create },
  {
    weight: 3,
    arbitrary: op(
      'start',
      (m) => m.start(POD),
      () => client.startPod(POD),
    ),
  },
  op(
    'stop',
    (m) => m.stop(POD, { keepMachine: false, isKilled: false }),
    () => client.stopPod(POD, { timeoutSeconds: 2 }),
  ),
  op(
    'kill',
    (m) => m.kill(POD),
    () => client.killPod(POD, 9),
  ),
  op(
    'pause',
    (m) => m.pause(POD),
    () => client.pausePod(POD),
  ),
  op(
    'unpause',
    (m) => m.unpause(POD),
    () => client.unpausePod(POD),
  ),
  op(
    'remove',
    (m) => m.remove(POD),
    () => client.removePod(POD),
  ),
  onContainer(
    'startContainer',
    (m, name) => m.startContainer(name),
    (name) => client.startContainer(name),
  ),
  onContainer(
    'stopContainer',
    (m, name) => m.stopContainer(name),
    (name) => client.stopContainer(name, { timeoutSeconds: 2 }),
  ),
  onContainer(
    'killContainer',
    (m, name) => m.killContainer(name),
    (name) => client.killContainer(name, 9),
  ),
  onContainer(
    'removeContainer',
    (m, name) => m.removeContainer(name),
    (name) => client.removeContainer(name),
  ),
  onContainer(
    'containerEnds with 3',
    (m, name) => {
      m.containerEnds(name, 3);
      return 'ok';
    },
    endWith3,
  ),
  op(
    'machineDies',
    (m) => {
      m.machineDies(POD);
      return 'ok';
    },
    async () => {
      const machine = (await client.machines()).find(({ pod }) => pod === POD)?.id ?? 'vm-none';
      for (const pid of pidsMentioning(machine, 'qemu')) process.kill(pid, 'SIGKILL');
    },
  ),
  op(
    'restart',
    () => 'ok',
    async () => {
      await daemon.kill();
      await daemon.restart();
    },
  ),
);

/** Has the container end by itself, where it runs. */
async function endWith3(name: string): Promise<void> {
  const pods = await client.pods({ pod: POD });
  const found = (await client.containers({ pod: POD })).find((own) => own.name === name);
  if (pods[0]?.status !== 'running' || found?.status !== 'running') return;
  const exec = await client.createExec(name, ['sh', '-c', 'echo 3 > /end']);
  const session = await client.startExec(name, exec, { tty: false });
  for await (const _ of session.output);
}

test('real machines: pods become what the model says, whatever is asked of them and happens to them', async () => {
  const commands = fc.commands([operations.map((operation) => new Command(operation))], {
    ...{ maxCommands: MAX_COMMANDS, size: 'max' as const },
  });
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      await fc.asyncModelRun(() => ({ model: new PodsModel(), real: client }), sequence);
      await daemon.hyperctl(['rm', '-a']);
      // A daemon that has just started makes its template: that machine, too, ends by itself.
      await eventually('no machine is left', () => daemon.machinePids().length === 0);
    }),
    {
      numRuns: RUNS,
      endOnFailure: true,
      ...(process.env.MODEL_SEED ? { seed: Number(process.env.MODEL_SEED) } : {}),
    },
  );
});
