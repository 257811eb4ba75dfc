// The floor by itself: how far a bare machine is after what time.
import { socketOf } from './api.mjs';
import { haveDebian, makeRootfs } from './images-for-both.mjs';
import { openFloor } from './start.mjs';

export const name = 'floor';
export const summary = 'a bare machine, without hyperd: clone, boot, and `true` in it';

const TRUE = ['true'];
const SLOW_ROUNDS = 5;

export async function* cases(surroundings) {
  haveDebian(surroundings);
  await makeRootfs(socketOf(surroundings.hyper.HYPER_HOST));
  await using floor = await openFloor(surroundings);
  yield { title: 'a clone answers', floor: async () => (await floor.clone(TRUE)).answered };
  yield { title: 'true in a new clone', floor: async () => (await floor.clone(TRUE)).firstByte };
  yield { title: 'true in a machine that waits', floor: () => floor.warm(TRUE) };
  yield {
    title: 'a boot answers',
    rounds: SLOW_ROUNDS,
    floor: async () => (await floor.boot(TRUE)).answered,
  };
}
