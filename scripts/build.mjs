// Everything that is compiled: protocol code, the guest agent and its initramfs, the bundles of hyperd and hyperctl.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { BUILD, REPOSITORY, step } from './steps.mjs';

const run = (command, args) =>
  execFileSync(command, args, { cwd: REPOSITORY, stdio: ['ignore', 'ignore', 'inherit'] });

/** `kernel`: folder that holds lib/modules/VERSION. */
export async function build(kernel) {
  const guest = join(BUILD, 'guest');
  const agent = {
    inputs: [
      'guest/src',
      'guest/Makefile',
      'guest/agent.proto',
      'guest/agent.options',
      'guest/initramfs.sh',
      'build/stamps/guest-kernel',
    ],
  };
  step(
    'guest agent and initramfs',
    { ...agent, outputs: ['build/guest/agent', 'build/guest/initramfs.cpio'] },
    () => {
      run('make', ['-s', '-C', 'guest', 'agent', 'initramfs', `OUT=${guest}`, `KERNEL_MODULES=${kernel}`]);
    },
  );
  const generated = 'packages/hyperd/src/guest/gen';
  step(
    'protocol code',
    { inputs: ['guest/agent.proto', 'package-lock.json'], outputs: [`${generated}/agent_pb.js`] },
    () => {
      mkdirSync(join(REPOSITORY, generated), { recursive: true });
      const plugin = join(REPOSITORY, 'node_modules/.bin/protoc-gen-es');
      run('protoc', [
        `--plugin=${plugin}`,
        `--es_out=${generated}`,
        '--es_opt=target=js+dts',
        '-I',
        'guest',
        'guest/agent.proto',
      ]);
    },
  );
  const sources = ['packages', 'scripts/build.mjs', 'package-lock.json'];
  const outputs = ['packages/hyperd/dist/main.js', 'packages/hyperctl/dist/main.js'];
  let bundles = false;
  step('bundles of hyperd and hyperctl', { inputs: sources, outputs }, () => {
    bundles = true;
    for (const name of ['hyperd', 'hyperctl'])
      rmSync(join(REPOSITORY, 'packages', name, 'dist'), { recursive: true, force: true });
    run('node_modules/.bin/node', [import.meta.filename, 'bundle']);
  });
  return bundles;
}

/** Runs in a process of its own, on the project's own Node, once the packages are there. */
async function bundle() {
  const esbuild = await import(pathToFileURL(join(REPOSITORY, 'node_modules/esbuild/lib/main.js')).href);
  const common = {
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node26',
    logLevel: 'warning',
    absWorkingDir: REPOSITORY,
  };
  // Dependencies of the daemon that are CommonJS ask for a `require`.
  const banner = {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  };
  await esbuild.build({
    ...common,
    entryPoints: ['packages/hyperd/src/main.ts'],
    outdir: 'packages/hyperd/dist',
    banner,
  });
  // One chunk a command: hyperctl loads only what it runs.
  await esbuild.build({
    ...common,
    entryPoints: ['packages/hyperctl/src/main.ts'],
    outdir: 'packages/hyperctl/dist',
    splitting: true,
    minify: true,
  });
}

if (process.argv[2] === 'bundle') await bundle();
else if (process.argv[1] === import.meta.filename) await build(join(BUILD, 'cache/kernel'));
