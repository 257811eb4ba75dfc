// Set-up in steps: each says what it does, and is passed over while its inputs have not changed.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const REPOSITORY = join(dirname(fileURLToPath(import.meta.url)), '..');
export const BUILD = join(REPOSITORY, 'build');

/** Whether the module with this URL is the program that was called. */
export function isMain(url) {
  return process.argv[1] !== undefined && realpathSync(process.argv[1]) === realpathSync(fileURLToPath(url));
}

const LOCK_TIMEOUT_S = 900;
const SKIPPED = ['node_modules', 'dist'];

/** A digest of the contents of files and folders; names are relative to the repository, wherever that lies. */
function fingerprint(paths) {
  const hash = createHash('sha256');
  const add = (name) => {
    const path = resolve(REPOSITORY, name);
    if (!existsSync(path)) return;
    if (lstatSync(path).isDirectory()) {
      for (const entry of readdirSync(path).sort()) if (!SKIPPED.includes(entry)) add(join(name, entry));
    } else hash.update(`${name}\0`).update(readFileSync(path));
  };
  for (const path of paths) add(path);
  return hash.digest('hex');
}

/** Runs `work` unless it has been done for the same inputs and all of `outputs` are there. Where it is asynchronous, so is this. */
export function step(name, { inputs, outputs }, work) {
  const stamp = join(BUILD, 'stamps', name.replace(/\W+/g, '-'));
  const wanted = fingerprint(inputs);
  const done = existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted;
  if (done && outputs.every((path) => existsSync(join(REPOSITORY, path)))) return;
  console.log(`set-up: ${name}`);
  const startedAt = Date.now();
  rmSync(stamp, { force: true }); // work that breaks off is not done
  const finish = () => {
    mkdirSync(dirname(stamp), { recursive: true });
    writeFileSync(stamp, wanted);
    console.log(`set-up: ${name}: done in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
  };
  const working = work();
  if (working instanceof Promise) return working.then(finish);
  finish();
}

/**
 * Runs `work` while no other set-up of this checkout does (none that takes the same lock). flock(1) holds the lock as long as this process keeps its stdin open, so that
 * nothing is left behind however this process ends.
 */
export async function alone(work, { lock: name = 'lock', timeoutS = LOCK_TIMEOUT_S } = {}) {
  mkdirSync(BUILD, { recursive: true });
  const lock = join(BUILD, name);
  const holder = spawn('flock', ['-w', String(timeoutS), lock, 'sh', '-c', 'echo held; exec cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const waiting = setTimeout(() => console.log('set-up: another set-up is at work here; waiting'), 1000);
  try {
    await new Promise((resolve, reject) => {
      holder.stdout.once('data', resolve);
      holder.once('error', reject);
      holder.once('exit', () => reject(new Error(`another set-up holds ${lock} for too long`)));
    });
    clearTimeout(waiting);
    await work();
  } finally {
    clearTimeout(waiting);
    holder.stdin.end();
  }
}
