// Images on their way in and out: pull until it can run, push, load, save; hyperctl and docker against the same registries.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { timed } from './processes.mjs';
import { copyImage, HYPERCTL, makeLayout, peakMemoryMib, startRegistry, tryRun } from './surroundings.mjs';

export const name = 'images';
export const summary = 'pull until it can run, push, load, save';

export async function* cases({ directory, docker, hyper, hyperd, tree }) {
  await using source = await startRegistry(directory, 'source');
  const whole = ({ whole: ms }) => ms;
  const remove = (image) => ({
    ours: () => tryRun(HYPERCTL, ['rmi', '-f', image], hyper),
    peer: () => tryRun('docker', ['rmi', '-f', image], docker),
  });
  for (const layers of [1, 20]) {
    const layout = join(directory, `layout-${layers}`);
    mkdirSync(layout);
    const bytes = await makeLayout(tree, layout, layers);
    const image = `${source.host}/debian:${layers}`;
    copyImage(`oci:${layout}:bench`, `docker://${image}`);
    yield {
      title: `pull ${Math.round(bytes / 1e6)} MB in ${layers} layer${layers === 1 ? '' : 's'}`,
      before: remove(image),
      ours: () => timed(HYPERCTL, ['pull', image], hyper),
      peer: () => timed('docker', ['pull', image], docker),
      figure: whole,
    };
  }
  const image = `${source.host}/debian:1`;
  yield* pushes(directory, docker, hyper, image, whole);
  const archive = join(directory, 'archive.tar');
  copyImage(`oci:${join(directory, 'layout-1')}:bench`, `docker-archive:${archive}:${image}`);
  yield {
    title: 'load a docker archive',
    before: remove(image),
    ours: () => timed(HYPERCTL, ['load', '-i', archive], hyper),
    peer: () => timed('docker', ['load', '-i', archive], docker),
    figure: whole,
  };
  const saved = join(directory, 'saved.tar');
  const forget = () => rmSync(saved, { force: true });
  yield {
    title: 'save a docker archive',
    before: { ours: forget, peer: forget },
    ours: () => timed(HYPERCTL, ['save', '-o', saved, image], hyper),
    peer: () => timed('docker', ['save', '-o', saved, image], docker),
    figure: whole,
  };
  console.log(`hyperd's memory was ${peakMemoryMib(hyperd.pid).toFixed(0)} MiB at most`);
}

/** Each into a registry that has nothing yet. */
async function* pushes(directory, docker, hyper, image, figure) {
  let count = 0;
  const intoEmpty = async (command, env) => {
    await using target = await startRegistry(directory, `target-${++count}`);
    const name = `${target.host}/debian:pushed`;
    await timed(command, ['tag', image, name], env);
    const result = await timed(command, ['push', name], env);
    await tryRun(command, ['rmi', name], env);
    return result;
  };
  yield {
    title: 'push',
    ours: () => intoEmpty(HYPERCTL, hyper),
    peer: () => intoEmpty('docker', docker),
    figure,
  };
}
