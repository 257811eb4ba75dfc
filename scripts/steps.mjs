// Set-up in steps: each says what it does, and is passed over while its inputs have not changed.
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const REPOSITORY = join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '..');
export const BUILD = join(REPOSITORY, 'build');

/** A digest of the contents of files and folders (names relative to the repository). */
export function fingerprint(paths) {
  const hash = createHash('sha256');
  const add = (path) => {
    if (!existsSync(path)) return;
    if (lstatSync(path).isDirectory()) {
      for (const name of readdirSync(path).sort())
        if (name !== 'node_modules' && name !== 'dist') add(join(path, name));
    } else hash.update(`${path}\0`).update(readFileSync(path));
  };
  for (const path of paths) add(join(REPOSITORY, path));
  return hash.digest('hex');
}

/** Runs `work` unless it has been done for the same inputs and all of `outputs` are there. */
export function step(name, { inputs, outputs }, work) {
  const stamp = join(BUILD, 'stamps', name.replace(/\W+/g, '-'));
  const wanted = fingerprint(inputs);
  const done = existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted;
  if (done && outputs.every((path) => existsSync(join(REPOSITORY, path)))) return;
  console.log(`set-up: ${name}`);
  const startedAt = Date.now();
  work();
  mkdirSync(join(BUILD, 'stamps'), { recursive: true });
  writeFileSync(stamp, wanted);
  console.log(`set-up: ${name}: done in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
}
