// The two images that cases start: a Debian tree and a busybox, known to both daemons by the same names.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createPod, removePod, session, startPod } from './api.mjs';
import { HYPERCTL } from './surroundings.mjs';

export const DEBIAN = 'bench/debian:12';
export const BUSYBOX = 'bench/busybox:1';

const known = new Set();

/** Once a run. */
export function haveDebian({ directory, docker, hyper, tree }) {
  if (known.has(DEBIAN)) return;
  importTree(DEBIAN, tree, { directory, docker, hyper });
}

export function haveBusybox({ directory, docker, hyper }) {
  if (known.has(BUSYBOX)) return;
  const work = join(directory, 'busybox');
  const tree = join(directory, 'busybox.tar');
  const script =
    'mkdir -p bin tmp && cp /bin/busybox bin/ && for c in sh true sleep dd yes head cat; do ln -s busybox bin/$c; done && tar -cf "$1" bin tmp';
  mkdirSync(work);
  execFileSync('sh', ['-c', script, 'sh', tree], { cwd: work });
  importTree(BUSYBOX, tree, { directory, docker, hyper });
}

function importTree(image, tree, { directory, docker, hyper }) {
  const quiet = (env) => ({ env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit'] });
  execFileSync('docker', ['import', '-c', 'CMD ["sh"]', tree, image], quiet(docker));
  const archive = join(directory, `${image.replace(/\W+/g, '-')}.tar`);
  execFileSync('docker', ['save', '-o', archive, image], quiet(docker));
  execFileSync(HYPERCTL, ['load', '-i', archive], quiet(hyper));
  known.add(image);
}

/** Has hyperd make the Debian image's root file system, by a pod that runs once. */
export async function makeRootfs(socket) {
  const pod = await createPod(socket, DEBIAN, ['true']);
  const { ended } = await session(socket, `/attach?container=${pod.container}`);
  await startPod(socket, pod);
  await ended;
  await removePod(socket, pod);
}

/** Where hyperd has the root file system of an image of one layer, once a pod has been started with it. */
export function rootfsOf(image, { docker, hyperd }) {
  const digest = inspect('{{index .RootFS.Layers 0}}', image, docker);
  return join(hyperd.root, 'images/rootfs', `${digest.replace('sha256:', '')}.vmdk`);
}

/** The image's id, which both daemons have the same: the digest of its configuration. */
export const imageIdOf = (image, docker) => inspect('{{.Id}}', image, docker);

function inspect(format, image, docker) {
  const args = ['image', 'inspect', '-f', format, image];
  return execFileSync('docker', args, { env: { ...process.env, ...docker }, encoding: 'utf8' }).trim();
}
