// The lean kernel that scripts/build-kernel makes ("hyperd") beside the packaged one, which stands in the floor's place here; bare machines both.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { INITRD, KERNEL } from '../scripts/build-kernel.mjs';
import { BUILD, REPOSITORY } from '../scripts/steps.mjs';
import { socketOf } from './api.mjs';
import { haveDebian, makeRootfs } from './images-for-both.mjs';
import { machineMemory } from './memory.mjs';
import { openFloor } from './start.mjs';

export const name = 'kernel';
export const summary = 'the lean kernel beside the packaged one, in bare machines';

const ECHO = ['echo', 'hello'];
const SLOW_ROUNDS = 5;

export async function* cases(surroundings) {
  const lean = join(REPOSITORY, KERNEL);
  const skip = existsSync(lean) ? undefined : 'scripts/build-kernel has not been run';
  if (skip) {
    yield { title: 'a boot answers', skip };
    return;
  }
  haveDebian(surroundings);
  await makeRootfs(socketOf(surroundings.hyper.HYPER_HOST));
  await using ours = await openFloor(surroundings, {
    kernel: lean,
    initrd: join(REPOSITORY, INITRD),
    name: 'lean',
  });
  await using packaged = await openFloor(surroundings, {
    ...{
      kernel: join(BUILD, 'guest/vmlinux'),
      initrd: join(BUILD, 'guest/initramfs.cpio'),
      name: 'packaged',
    },
  });
  const both = (work) => ({ ours: () => work(ours), floor: () => work(packaged) });
  const rounds = SLOW_ROUNDS;
  yield { title: 'a boot answers', rounds, ...both(async (floor) => (await floor.boot(ECHO)).answered) };
  // Of the host's processor: hardly depends on what else the host has to do.
  const bootCpu = async (floor) => (await floor.boot(ECHO)).answeredCpu;
  yield { title: 'a boot answers: processor time', rounds, ...both(bootCpu) };
  yield { title: 'a clone answers', ...both(async (floor) => (await floor.clone(ECHO)).answered) };
  yield { title: 'first byte in a new clone', ...both(async (floor) => (await floor.clone(ECHO)).firstByte) };
  const cloneCpu = async (floor) => (await floor.clone(ECHO)).firstByteCpu;
  yield { title: 'first byte in a new clone: processor time', ...both(cloneCpu) };
  yield { title: 'first byte in a machine that waits', ...both((floor) => floor.warm(ECHO)) };
  const read = async (figure) => ({
    unit: 'MiB',
    readings: { ours: [await figure(ours)], floor: [await figure(packaged)] },
  });
  yield { title: "a template's memory", ...(await read(templateMib)) };
  const memory = async (floor) => machineMemory((await floor.warmMachine(ECHO)).process.pid).privateMib;
  yield { title: 'private memory after a container, without TCG', ...(await read(memory)) };
}

async function templateMib(floor) {
  const { blocks } = statSync(join(await floor.template(), 'memory'));
  return (blocks * 512) / 2 ** 20;
}
