// Everything that is compiled: the guest agent and its initramfs, QEMU's network guard, protocol code, the bundles of hyperd and hyperctl.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { alone, BUILD, isMain, REPOSITORY, step } from './steps.mjs';

const KERNEL = join(BUILD, 'cache/kernel');

const run = (command, args) =>
  execFileSync(command, args, { cwd: REPOSITORY, stdio: ['ignore', 'ignore', 'inherit'] });

/** Protocols: the schema, and where its code goes. */
const PROTOCOLS = [
  { name: 'protocol code', folder: 'guest', schema: 'agent', code: 'packages/hyperd/src/guest/gen' },
  {
    ...{ name: 'code of the gRPC service', folder: 'packages/hyperd/src/rpc', schema: 'types' },
    code: 'packages/hyperd/src/rpc/gen',
  },
];

/** Compiles what has changed. Needs the Debian and npm packages and the guest kernel. */
export function build() {
  const guest = [
    'guest/src',
    'guest/Makefile',
    'guest/agent.proto',
    'guest/agent.options',
    'guest/initramfs.sh',
    'guest/modules.sh',
    'guest/modules-disk.sh',
    'guest/rehearsal-disk.sh',
  ];
  step(
    'guest agent and initramfs',
    {
      inputs: [...guest, 'build/cache/kernel/PACKAGE'],
      outputs: ['agent', 'initramfs.cpio', 'initramfs-bare.cpio', 'modules.erofs', 'rehearsal.erofs'].map(
        (name) => `build/guest/${name}`,
      ),
    },
    () => {
      const settings = [`OUT=${join(BUILD, 'guest')}`, `KERNEL_MODULES=${KERNEL}`];
      run('make', ['-s', '-C', 'guest', 'agent', 'initramfs', 'modules-disk', 'rehearsal-disk', ...settings]);
    },
  );
  step(
    'network guard',
    {
      inputs: ['host/network-guard.c', 'scripts/build.mjs'],
      outputs: ['build/host/network-guard.so'],
    },
    compileNetworkGuard,
  );
  step(
    'confinement of machines',
    { inputs: ['host/confine.c', 'scripts/build.mjs'], outputs: ['build/host/confine'] },
    () => compileHostProgram('confine', ['-std=gnu11', '-static', '-O2', '-s']),
  );
  step(
    'passing of files to machines',
    { inputs: ['host/pass-file.c', 'scripts/build.mjs'], outputs: ['build/host/pass-file'] },
    () => compileHostProgram('pass-file', ['-std=gnu11', '-static', '-O2', '-s']),
  );
  step(
    'file server of volumes',
    { inputs: ['host/share-files.c', 'scripts/build.mjs'], outputs: ['build/host/share-files'] },
    () => compileHostProgram('share-files', ['-std=c11', '-O2']),
  );
  step(
    'the quick commands of hyperctl',
    { inputs: ['host/hyperctl', 'scripts/build.mjs'], outputs: ['build/host/hyperctl'] },
    () => compileHostProgram('hyperctl', ['-std=gnu11', '-static', '-O2', '-s']),
  );
  for (const { name, folder, schema, code } of PROTOCOLS) {
    step(
      name,
      { inputs: [`${folder}/${schema}.proto`, 'package-lock.json'], outputs: [`${code}/${schema}_pb.js`] },
      () => generateProtocol(folder, schema, code),
    );
  }
  step(
    'bundles of hyperd and hyperctl',
    {
      inputs: ['packages', 'scripts/build.mjs', 'package-lock.json'],
      outputs: ['packages/hyperd/dist/main.js', 'packages/hyperctl/dist/main.cjs'],
    },
    () => run('node_modules/.bin/node', [join(REPOSITORY, 'scripts/build.mjs'), 'bundle']),
  );
}

/** Of `host/NAME.c`, or of all that is in `host/NAME`. */
function compileHostProgram(name, options) {
  mkdirSync(join(BUILD, 'host'), { recursive: true });
  const warnings = ['-Wall', '-Wextra', '-Wconversion', '-Wshadow', '-Werror'];
  const program = join(BUILD, 'host', name);
  const folder = join(REPOSITORY, 'host', name);
  const sources = existsSync(folder)
    ? readdirSync(folder)
        .filter((file) => file.endsWith('.c'))
        .map((file) => join(folder, file))
    : [`${folder}.c`];
  run('gcc', [...options, ...warnings, '-o', `${program}.tmp`, ...sources]);
  renameSync(`${program}.tmp`, program);
}

/** Replaced, not written over: machines may have the old one in memory. */
function compileNetworkGuard() {
  mkdirSync(join(BUILD, 'host'), { recursive: true });
  const guard = join(BUILD, 'host/network-guard.so');
  const warnings = ['-Wall', '-Wextra', '-Wconversion', '-Wshadow', '-Wno-sign-conversion', '-Werror'];
  const options = ['-std=c11', '-D_GNU_SOURCE', '-Os', '-fstack-protector-strong', '-fPIC', '-shared', '-s'];
  run('gcc', [...options, ...warnings, '-o', `${guard}.tmp`, 'host/network-guard.c']);
  renameSync(`${guard}.tmp`, guard);
}

function generateProtocol(folder, schema, code) {
  mkdirSync(join(REPOSITORY, code), { recursive: true });
  const plugin = join(REPOSITORY, 'node_modules/.bin/protoc-gen-es');
  const settings = [`--plugin=${plugin}`, `--es_out=${code}`, '--es_opt=target=js+dts'];
  run('protoc', [...settings, '-I', folder, `${folder}/${schema}.proto`]);
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
  // The gRPC service is a chunk that only a daemon which serves it loads.
  await replaceDist('hyperd', (outdir) =>
    esbuild.build({
      ...{ ...common, entryPoints: ['packages/hyperd/src/main.ts'], outdir, banner, splitting: true },
      external: ['@grpc/proto-loader'], // grpc-js asks for it where a service is read from a file, which ours is not
    }),
  );
  // One file, of which what a command does not need is never run nor compiled. As CommonJS: Node's loader of ES modules, and further
  // files, would cost more than all the rest of hyperctl's start.
  await replaceDist('hyperctl', (outdir) =>
    esbuild.build({
      ...{ ...common, entryPoints: ['packages/hyperctl/src/main.ts'], outdir, format: 'cjs' },
      ...{ minify: true, outExtension: { '.js': '.cjs' }, define: { 'import.meta.main': 'true' } },
    }),
  );
}

/** A build that fails leaves the last one in place. */
async function replaceDist(name, compile) {
  const dist = join(REPOSITORY, 'packages', name, 'dist');
  const draft = join(BUILD, `dist-${name}`);
  const old = join(BUILD, `dist-${name}.old`);
  for (const path of [draft, old]) rmSync(path, { recursive: true, force: true });
  await compile(draft);
  mkdirSync(dist, { recursive: true });
  renameSync(dist, old);
  renameSync(draft, dist);
  rmSync(old, { recursive: true, force: true });
}

if (process.argv[2] === 'bundle' && isMain(import.meta.url)) await bundle();
else if (isMain(import.meta.url)) await alone(build);
