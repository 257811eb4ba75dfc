// A lean guest kernel, as an option: what guest/kernel.config lists, built in, from the source that Debian packages. Kept until that list, the source or
// this script changes.
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { dependencyOf, ensurePackages, KERNEL_PACKAGES, unpackPackage } from './packages.mjs';
import { setUp } from './setup.mjs';
import { alone, BUILD, isMain, REPOSITORY, step } from './steps.mjs';

const META_PACKAGE = 'linux-source';
const SOURCE = 'build/cache/kernel-source';
const OPTIONS = 'guest/kernel.config';
export const KERNEL = 'build/guest/vmlinux-lean';
export const INITRD = 'build/guest/initramfs-bare.cpio';
const PROGRESS_MS = 10_000;
/** What the compiler is called for; only to tell how far it is. */
const FILES = 1500;
const SAID_LINES = 20;

const HELP = `Usage: scripts/build-kernel [--jobs N]

Builds a guest kernel that has what pods need built in, and nothing else, from Debian's package linux-source:
about ten minutes on two idle cores, 2 GB of disk while it is at work. What building needs of Debian is installed.
There is nothing to do while neither ${OPTIONS} nor the source has changed.

  --jobs N    compile so many files at once (default: one a processor)
  -h, --help  print this help
`;

/** The lines of a list of options that a kernel's configuration does not have as they are. */
export function lostOptions(list, configuration) {
  const has = new Set(configuration.split('\n'));
  return list.split('\n').filter((line) => line.startsWith('CONFIG_') && !has.has(line));
}

/** Builds what is not there yet, and says how to use it. */
async function buildKernel(jobs) {
  await setUp();
  await alone(
    async () => {
      ensurePackages(KERNEL_PACKAGES);
      step("download the kernel's source", { inputs: [], outputs: [`${SOURCE}/PACKAGE`] }, () =>
        unpackPackage(() => dependencyOf(META_PACKAGE, /^linux-source-\d/), join(REPOSITORY, SOURCE)),
      );
      await step(
        'lean kernel',
        { inputs: [OPTIONS, `${SOURCE}/PACKAGE`, 'scripts/build-kernel.mjs'], outputs: [KERNEL] },
        () => compile(jobs),
      );
    },
    { lock: 'lock-kernel', timeoutS: 7200 },
  );
  console.log(
    `set-up: the lean kernel is there; use it with\n  hyperd --kernel ${join(REPOSITORY, KERNEL)} --initrd ${join(REPOSITORY, INITRD)}`,
  );
}

/** In a directory of its own, which is removed: the tree takes far more room than the kernel. */
async function compile(jobs) {
  const tree = join(BUILD, 'kernel-tree');
  rmSync(tree, { recursive: true, force: true });
  mkdirSync(tree, { recursive: true });
  try {
    const sources = join(REPOSITORY, SOURCE, 'usr/src');
    const [archive] = readdirSync(sources).filter((name) => /^linux-source-.*\.tar\.xz$/.test(name));
    if (!archive)
      throw new Error(`build the kernel: no linux-source-*.tar.xz in ${sources}; remove ${SOURCE}`);
    checked('tar', ['-xJf', join(sources, archive), '-C', tree, '--strip-components=1']);
    configure(tree);
    await make(tree, jobs);
    const kernel = join(REPOSITORY, KERNEL);
    checked('objcopy', ['--strip-all', join(tree, 'vmlinux'), `${kernel}.tmp`]);
    copyFileSync(join(tree, '.config'), `${kernel}.config`);
    renameSync(`${kernel}.tmp`, kernel);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

/** Nothing but the list, and what that needs. Throws where the source does not know an option, or does not take it. */
function configure(tree) {
  const list = join(REPOSITORY, OPTIONS);
  checked('make', ['-s', '-C', tree, 'allnoconfig'], { KCONFIG_ALLCONFIG: list });
  const lost = lostOptions(readFileSync(list, 'utf8'), readFileSync(join(tree, '.config'), 'utf8'));
  if (lost.length > 0)
    throw new Error(`configure the kernel: this source does not take ${lost.join(', ')} of ${OPTIONS}`);
}

/** Says every few seconds how far it is. */
async function make(tree, jobs) {
  const settings = ['LOCALVERSION=-lean', 'KBUILD_BUILD_USER=hyperd', 'KBUILD_BUILD_HOST=guest'];
  const child = spawn('nice', ['-n', '15', 'make', '-C', tree, `-j${jobs}`, ...settings, 'vmlinux'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let files = 0;
  const last = [];
  const hear = (line) => {
    if (/^ {2}(CC|AS) /.test(line)) files++;
    last.push(line);
    if (last.length > SAID_LINES) last.shift();
  };
  for (const output of [child.stdout, child.stderr]) createInterface({ input: output }).on('line', hear);
  const timer = setInterval(
    () => console.log(`set-up: lean kernel: ${files} of about ${FILES} files compiled`),
    PROGRESS_MS,
  );
  const end = () => child.kill('SIGTERM');
  process.once('exit', end);
  try {
    const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
    if (code !== 0) throw new Error(`build the kernel: make ended with ${code}:\n${last.join('\n')}`);
  } finally {
    clearInterval(timer);
    process.removeListener('exit', end);
  }
}

function checked(command, args, env = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    ...{ encoding: 'utf8', env: { ...process.env, ...env }, maxBuffer: 1 << 28 },
  });
  if (status !== 0)
    throw new Error(`${command} ${args[0]} failed:\n${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}`);
}

function optionsOf(args) {
  const options = { jobs: { type: 'string' }, help: { type: 'boolean', short: 'h' } };
  const { jobs, help } = parseArgs({ args, options }).values;
  if (jobs !== undefined && !/^[1-9]\d{0,2}$/.test(jobs))
    throw new Error(`--jobs is "${jobs}"; want a number from 1 to 999`);
  return { help, jobs: jobs ?? availableParallelism() };
}

if (isMain(import.meta.url)) {
  try {
    const { help, jobs } = optionsOf(process.argv.slice(2));
    if (help) process.stdout.write(HELP);
    else await buildKernel(jobs);
  } catch (error) {
    console.error(`build-kernel: ${error.message}`);
    process.exitCode = 1;
  }
}
