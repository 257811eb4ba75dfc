import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import fc from 'fast-check';
import { type Outcome, PodsModel } from './pods.model.ts';
import { codeOf, turn, World } from './pods.world.ts';
import { STUBBORN } from './scripted-machines.ts';
import { parseContainerSpec, parsePodSpec } from './spec/index.ts';

/** More of them find more: `MODEL_RUNS=2000` takes some minutes. */
const RUNS = Number(process.env.MODEL_RUNS ?? 40);
const MAX_COMMANDS = 50;
const POD_IDS = ['a', 'b'] as const;
const SLOTS = [0, 1, 2] as const;

const containerName = (pod: string, slot: number): string => `${pod}-${slot}`;

interface Operation {
  readonly label: string;
  /** The pod or container that it is done to. */
  readonly target?: string;
  readonly expect: (model: PodsModel) => Outcome;
  readonly act: (world: World) => Promise<unknown>;
}

/** One call, whose outcome and whose effect are the model's. */
class Single implements fc.AsyncCommand<PodsModel, World> {
  readonly #operation: Operation;
  readonly #isAnywhere: boolean;

  /** `isAnywhere`: also where there is nothing to do it to. */
  constructor(operation: Operation, isAnywhere: boolean) {
    this.#operation = operation;
    this.#isAnywhere = isAnywhere;
  }

  check({ pods }: Readonly<PodsModel>): boolean {
    const { target } = this.#operation;
    if (this.#isAnywhere || target === undefined) return true;
    return [...pods].some(([id, { containers }]) => id === target || containers.has(target));
  }

  async run(model: PodsModel, world: World): Promise<void> {
    const { expect, act } = this.#operation;
    const expected = expect(model);
    assert.equal(await world.outcome(() => act(world)), expected);
    await world.verify();
    const actual = modelOf(world);
    assert.deepEqual(actual.pods, model.pods);
    assert.equal(actual.idleMachines, model.idleMachines);
  }

  toString(): string {
    return this.#operation.label;
  }
}

interface Timed {
  readonly operation: Operation;
  /** Turns of the event loop after which it begins. */
  readonly after: number;
}

/** Calls at the same time: any order of them is right, as long as all of them end, and nothing is left half done. */
class Together implements fc.AsyncCommand<PodsModel, World> {
  readonly #operations: readonly Timed[];

  constructor(operations: readonly Timed[]) {
    this.#operations = operations;
  }

  check(): boolean {
    return true;
  }

  async run(model: PodsModel, world: World): Promise<void> {
    const calls = this.#operations.map(async ({ operation, after }) => {
      for (let i = 0; i < after; i++) await turn();
      await operation.act(world).catch(codeOf);
    });
    await world.outcome(() => Promise.all(calls));
    await world.verify();
    const actual = modelOf(world);
    model.pods.clear();
    for (const [id, pod] of actual.pods) model.pods.set(id, pod);
    model.idleMachines = actual.idleMachines;
  }

  toString(): string {
    return `together(${this.#operations.map(({ operation, after }) => `${after}: ${operation.label}`).join(', ')})`;
  }
}

function modelOf(world: World): PodsModel {
  const model = new PodsModel();
  const idle = world.machines.list().filter(({ owner }) => owner === undefined).length;
  model.become(world.pods.list(), idle, ([program]) => program === STUBBORN);
  return model;
}

const podId = fc.constantFrom(...POD_IDS);
const slot = fc.constantFrom(...SLOTS);
const name = fc.tuple(podId, slot).map(([pod, number]) => containerName(pod, number));
const container = fc.record({
  isStubborn: fc.boolean(),
  policy: fc.constantFrom('never', 'never', 'onFailure', 'always'),
  image: fc.constantFrom('1', '2'),
});
type ContainerChoice = typeof container extends fc.Arbitrary<infer T> ? T : never;

const specOf = ({ isStubborn, policy, image }: ContainerChoice, containerName: string): object => ({
  ...{ name: containerName, image, restartPolicy: policy, command: [isStubborn ? STUBBORN : 'obedient'] },
});
const modelled = ({ isStubborn, policy }: ContainerChoice) =>
  ({ phase: 'pending', exitCode: 0, policy, isStubborn }) as const;

const create = fc
  .record({
    id: podId,
    keepMachine: fc.boolean(),
    autoRemove: fc.boolean(),
    containers: fc.array(container, { maxLength: 2 }),
  })
  .map(({ id, keepMachine, autoRemove, containers }): Operation => {
    const named = containers.map((choice, index) => [containerName(id, index), choice] as const);
    return {
      label: `create(${JSON.stringify({ id, keepMachine, autoRemove, containers })})`,
      expect: (model) =>
        model.create(id, {
          ...{ keepMachine, autoRemove },
          containers: new Map(named.map(([key, choice]) => [key, { ...modelled(choice) }])),
        }),
      act: ({ pods }) =>
        pods.create(
          parsePodSpec({
            ...{ id, keepVm: keepMachine, autoRemove },
            containers: named.map(([key, choice]) => specOf(choice, key)),
          }),
        ),
    };
  });

const addContainer = fc.tuple(podId, container).map(
  ([id, choice]): Operation => ({
    ...{ label: `addContainer(${id}, ${JSON.stringify(choice)})`, target: id },
    expect: (model) => {
      const key = containerName(id, 2);
      const isTaken = model.pods.get(id)?.containers.has(key);
      return isTaken ? 'conflict' : model.addContainer(id, key, { ...modelled(choice) });
    },
    act: ({ pods }) =>
      Promise.resolve().then(() =>
        pods.addContainer(id, parseContainerSpec(specOf(choice, containerName(id, 2)))),
      ),
  }),
);

/** An operation on a pod or container by its name. */
function on(
  target: fc.Arbitrary<string>,
  label: string,
  expect: (model: PodsModel, target: string) => Outcome,
  act: (world: World, target: string) => unknown,
): fc.Arbitrary<Operation> {
  return target.map((key) => ({
    ...{ label: `${label}(${key})`, target: key },
    expect: (model) => expect(model, key),
    act: async (world) => act(world, key),
  }));
}

const stop = fc.tuple(podId, fc.boolean(), fc.constantFrom(0, 100)).map(
  ([id, keepMachine, graceMs]): Operation => ({
    ...{ label: `stop(${id}, ${JSON.stringify({ keepMachine, graceMs })})`, target: id },
    // Without time to obey, all of them are killed.
    expect: (model) => model.stop(id, { keepMachine, isKilled: graceMs === 0 }),
    act: ({ pods }) => Promise.resolve().then(() => pods.stop(id, { keepMachine, graceMs })),
  }),
);

const calls = fc.oneof(
  create,
  create,
  addContainer,
  on(
    podId,
    'start',
    (m, id) => m.start(id),
    ({ pods }, id) => pods.start(id),
  ),
  on(
    podId,
    'start',
    (m, id) => m.start(id),
    ({ pods }, id) => pods.start(id),
  ),
  on(
    podId,
    'startInIdle',
    (m, id) => m.startIn(id),
    ({ pods, machines }, id) =>
      pods.start(id, { machine: machines.list().find(({ owner }) => owner === undefined)?.id ?? 'vm-none' }),
  ),
  stop,
  on(
    podId,
    'kill',
    (m, id) => m.kill(id),
    ({ pods }, id) => pods.kill(id, { signal: 9 }),
  ),
  on(
    podId,
    'pause',
    (m, id) => m.pause(id),
    ({ pods }, id) => pods.pause(id),
  ),
  on(
    podId,
    'unpause',
    (m, id) => m.unpause(id),
    ({ pods }, id) => pods.unpause(id),
  ),
  on(
    podId,
    'remove',
    (m, id) => m.remove(id),
    ({ pods }, id) => pods.remove(id),
  ),
  on(
    name,
    'startContainer',
    (m, key) => m.startContainer(key),
    ({ pods }, key) => pods.startContainer(key),
  ),
  on(
    name,
    'stopContainer',
    (m, key) => m.stopContainer(key),
    ({ pods }, key) => pods.stopContainer(key),
  ),
  on(
    name,
    'killContainer',
    (m, key) => m.killContainer(key),
    ({ pods }, key) => pods.killContainer(key, 9),
  ),
  on(
    name,
    'removeContainer',
    (m, key) => m.removeContainer(key),
    ({ pods }, key) => pods.removeContainer(key),
  ),
);

const idOf = ({ pods }: World, key: string): string | undefined =>
  pods
    .list()
    .flatMap(({ containers }) => containers)
    .find((found) => found.name === key)?.id;
const machineOf = ({ pods }: World, id: string) => pods.list().find((found) => found.id === id)?.machineId;

const machineDies = (isDown: boolean): fc.Arbitrary<Operation> =>
  on(
    podId,
    isDown ? 'machineDies, while no daemon runs, ' : 'machineDies',
    (model, id) => {
      model.machineDies(id);
      return 'ok';
    },
    async (world, id) => {
      const machine = machineOf(world, id);
      const crash = async () => machine && world.machines.crash(machine);
      await (isDown ? world.restart(crash) : crash());
    },
  );

const containerEnds = (isDown: boolean, code: number): fc.Arbitrary<Operation> =>
  on(
    name,
    `containerEnds with ${code}${isDown ? ', while no daemon runs, ' : ''}`,
    (model, key) => {
      model.containerEnds(key, code);
      return 'ok';
    },
    async (world, key) => {
      const id = idOf(world, key) ?? '';
      const end = () => world.machines.endInit(id, code);
      await (isDown ? world.restart(end) : end());
    },
  );

/** What happens by itself, while calls are under way as well. */
const happenings = fc.oneof(machineDies(false), containerEnds(false, 0), containerEnds(false, 1));
const restarts = fc.oneof(
  machineDies(true),
  containerEnds(true, 0),
  containerEnds(true, 1),
  fc.constant<Operation>({ label: 'restart', expect: () => 'ok', act: (world) => world.restart() }),
);

test('whatever is asked of pods in whatever order, alone or at once, and whatever happens to them: they become what they should', async () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.UTC(2026, 0, 1) });
  try {
    const single = fc.oneof(
      { weight: 8, arbitrary: calls },
      { weight: 2, arbitrary: happenings },
      { weight: 1, arbitrary: restarts },
    );
    const timed = fc.record({
      operation: fc.oneof({ weight: 4, arbitrary: calls }, { weight: 1, arbitrary: happenings }),
      after: fc.nat(20),
    });
    const commands = fc.commands(
      [
        fc.tuple(single, fc.nat(9)).map(([operation, luck]) => new Single(operation, luck === 0)),
        fc.array(timed, { minLength: 2, maxLength: 3 }).map((operations) => new Together(operations)),
      ],
      { maxCommands: MAX_COMMANDS, size: 'max' },
    );
    await fc.assert(
      fc.asyncProperty(commands, async (sequence) => {
        await using world = new World();
        await fc.asyncModelRun(() => ({ model: new PodsModel(), real: world }), sequence);
      }),
      { numRuns: RUNS, ...(process.env.MODEL_SEED ? { seed: Number(process.env.MODEL_SEED) } : {}) },
    );
  } finally {
    mock.timers.reset();
  }
});
