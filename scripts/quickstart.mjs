// From a fresh clone to a container's output out of a virtual machine, and a daemon that is left running.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setUp } from './setup.mjs';
import { REPOSITORY } from './steps.mjs';

try {
  await setUp();
  // What follows reads the daemon's own configuration, which takes the Node that is there only now.
  const firstRun = join(REPOSITORY, 'scripts/first-run.mjs');
  const { status } = spawnSync(join(REPOSITORY, 'node_modules/.bin/node'), [firstRun], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
} catch (error) {
  console.error(`quickstart: ${error.message}`);
  process.exitCode = 1;
}
