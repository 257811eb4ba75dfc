// Sets up, runs every test, and sums up: the last line is "N passed, N failed".
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TEST_PACKAGES } from './packages.mjs';
import { setUp } from './setup.mjs';
import { BUILD, REPOSITORY } from './steps.mjs';

const TEST_TIMEOUT_MS = 300_000;
const FUZZ_SECONDS = 10;

const totals = { passed: 0, failed: 0 };

async function main(files) {
  await setUp(TEST_PACKAGES);
  const before = new Set(strays());
  if (files.length > 0) {
    await nodeTests('chosen tests', files, 1);
  } else {
    await guestTests();
    await nodeTests('unit tests', filesBelow('packages'), 2);
    await nodeTests('end-to-end tests', filesBelow('test'), 1);
  }
  const left = strays().filter((stray) => !before.has(stray));
  for (const stray of left) console.log(`left running by the tests: ${stray}`);
  totals.failed += left.length;
}

async function guestTests() {
  for (const [target, extra] of [
    ['test', []],
    ['fuzz', [`FUZZ_SECONDS=${FUZZ_SECONDS}`]],
  ]) {
    console.log(`\n--- guest agent: ${target}`);
    const { status, output } = await shown('make', [
      '-s',
      '-C',
      'guest',
      target,
      `OUT=${join(BUILD, 'guest')}`,
      ...extra,
    ]);
    const [, passed, failed] = /(\d+) passed, (\d+) failed\s*$/.exec(output) ?? [];
    totals.passed += Number(passed ?? (status === 0 ? 1 : 0));
    totals.failed += Number(failed ?? 0) || (status === 0 ? 0 : 1);
  }
}

async function nodeTests(name, files, concurrency) {
  console.log(`\n--- ${name}: ${files.length} files`);
  const { status, output } = await shown(join(REPOSITORY, 'node_modules/.bin/node'), [
    ...[
      '--test',
      '--test-reporter=spec',
      `--test-concurrency=${concurrency}`,
      `--test-timeout=${TEST_TIMEOUT_MS}`,
    ],
    ...['--disable-warning=ExperimentalWarning', ...files],
  ]);
  const count = (what) => Number(new RegExp(`^ℹ ${what} (\\d+)$`, 'm').exec(output)?.[1] ?? 0);
  totals.passed += count('pass');
  const failed = count('fail') + count('cancelled');
  totals.failed += failed || (status === 0 ? 0 : 1);
}

/** Runs a command with its output on ours, and returns it, too. */
function shown(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: REPOSITORY,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, FORCE_COLOR: '0' },
    });
    let output = '';
    child.stdout.on('data', (chunk) => {
      process.stdout.write(chunk);
      output += chunk;
    });
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, output }));
  });
}

function filesBelow(folder) {
  return readdirSync(join(REPOSITORY, folder), { recursive: true })
    .filter((path) => path.endsWith('.test.ts') && !path.includes('node_modules'))
    .map((path) => join(folder, path))
    .sort();
}

/** Machines and registries whose files lie in the folder for temporary ones: what a test forgot to end. */
function strays() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        const ours = /^\S*(qemu-system|docker-registry)/.test(command) && command.includes(`${tmpdir()}/`);
        return ours ? [`${pid} ${command.slice(0, 100)}`] : [];
      } catch {
        return []; // it has just ended
      }
    });
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
