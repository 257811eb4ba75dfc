// Sets up, runs every test, and sums up: the last line is "N passed, N failed". Arguments are test files, to run only these.
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { clangRuntimePackage, ensurePackages, TEST_PACKAGES, unpackPackage } from './packages.mjs';
import { setUp } from './setup.mjs';
import { BUILD, REPOSITORY, step } from './steps.mjs';

const TEST_TIMEOUT_MS = 300_000;
const FUZZ_SECONDS = 10;
/** How long what the tests have ended may take to be gone. */
const END_TIMEOUT_MS = 5_000;

const totals = { passed: 0, failed: 0 };
let environment = { ...process.env, FORCE_COLOR: '0' };

async function main(files) {
  await setUp(setUpTests);
  // Everything the tests make lies in one folder, which tells what they have left behind from what others do on this machine.
  const folder = mkdtempSync(join(tmpdir(), 'ht-'));
  chmodSync(folder, 0o711); // some tests run as other users
  environment = { ...environment, TMPDIR: folder };
  try {
    if (files.length > 0) {
      await nodeTests('chosen tests', files, 1);
    } else {
      await guestTests();
      await nodeTests('unit tests', ['packages', 'bench', 'scripts'].flatMap(filesBelow), 2);
      await nodeTests('end-to-end tests', filesBelow('test'), 1);
    }
    await reportLeftovers(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function setUpTests() {
  ensurePackages(TEST_PACKAGES);
  ensurePackages([clangRuntimePackage()]);
  environment.PATH = `${environment.PATH}:${registryFolder()}`;
}

/** Debian's package of the registry would start it as a service, now and at every boot: only its program is wanted. */
function registryFolder() {
  if (existsSync('/usr/bin/docker-registry')) return '/usr/bin';
  const folder = 'build/cache/docker-registry';
  step('download a registry for the tests', { inputs: [], outputs: [`${folder}/PACKAGE`] }, () =>
    unpackPackage(() => 'docker-registry', join(REPOSITORY, folder)),
  );
  return join(REPOSITORY, folder, 'usr/bin');
}

async function guestTests() {
  for (const args of [['test'], ['fuzz', `FUZZ_SECONDS=${FUZZ_SECONDS}`]]) {
    console.log(`\n--- guest agent: ${args[0]}`);
    const { status, output } = await shown('make', [
      ...['-s', '-C', 'guest', `OUT=${join(BUILD, 'guest')}`, ...args],
    ]);
    const [, passed, failed] = /(\d+) passed, (\d+) failed\s*$/.exec(output) ?? [];
    totals.passed += Number(passed ?? (status === 0 ? 1 : 0));
    totals.failed += Number(failed ?? 0) || (status === 0 ? 0 : 1);
  }
}

async function nodeTests(name, files, concurrency) {
  console.log(`\n--- ${name}: ${files.length} files`);
  const { status, output } = await shown(join(REPOSITORY, 'node_modules/.bin/node'), [
    ...['--test', '--test-reporter=spec', `--test-concurrency=${concurrency}`],
    ...[`--test-timeout=${TEST_TIMEOUT_MS}`, '--disable-warning=ExperimentalWarning', ...files],
  ]);
  const count = (what) => Number(new RegExp(`^ℹ ${what} (\\d+)$`, 'm').exec(output)?.[1] ?? 0);
  const failed = count('fail') + count('cancelled');
  totals.passed += count('pass');
  totals.failed += failed || (status === 0 ? 0 : 1);
}

/** Runs a command with its output on ours, and returns it, too. */
function shown(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: REPOSITORY,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: environment,
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      process.stdout.write(chunk);
      output += chunk;
    });
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, output }));
  });
}

function filesBelow(folder) {
  return readdirSync(join(REPOSITORY, folder), { recursive: true })
    .filter((path) => /\.test\.m?[jt]s$/.test(path) && !path.includes('node_modules'))
    .map((path) => join(folder, path))
    .sort();
}

/** A process or a file that a test forgot is a failure. */
async function reportLeftovers(folder) {
  const deadline = Date.now() + END_TIMEOUT_MS;
  let strays = processesMentioning(folder);
  while (strays.length > 0 && Date.now() < deadline) {
    await sleep(100);
    strays = processesMentioning(folder);
  }
  for (const { pid, command } of strays) {
    console.log(`left running by the tests: ${pid} ${command.slice(0, 150)}`);
    process.kill(pid, 'SIGKILL');
  }
  const files = readdirSync(folder);
  for (const name of files) console.log(`left behind by the tests: ${join(folder, name)}`);
  totals.failed += strays.length + files.length;
}

/** Daemons, machines, registries: whatever has the folder on its command line. */
function processesMentioning(folder) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((name) => ({ pid: Number(name), command: commandLine(name) }))
    .filter(({ command }) => command.includes(`${folder}/`));
}

function commandLine(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return ''; // it has just ended
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(`test: ${error.message}`);
  totals.failed++;
}
if (totals.passed + totals.failed === 0) totals.failed = 1; // a run without a test is no success
if (totals.failed > 0) process.exitCode = 1;
console.log(`\n${totals.passed} passed, ${totals.failed} failed`);
