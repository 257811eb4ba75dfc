// `npm run bench`: sets up, and hands over to main.mjs on the project's own Node; this one may be older.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ensurePackages } from '../scripts/packages.mjs';
import { setUp } from '../scripts/setup.mjs';
import { REPOSITORY } from '../scripts/steps.mjs';

const PEER_PACKAGES = ['docker.io', 'iptables', 'mmdebstrap', 'skopeo', 'docker-registry'];

async function run(args) {
  await setUp();
  if (!args.some((arg) => ['--help', '-h'].includes(arg))) ensurePackages(PEER_PACKAGES);
  const node = join(REPOSITORY, 'node_modules/.bin/node');
  const child = spawn(node, [join(REPOSITORY, 'bench/main.mjs'), ...args], { stdio: 'inherit' });
  // It takes away what it has made before it ends.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) =>
    child.once('error', reject).once('exit', (code) => resolve(code ?? 1)),
  );
}

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
}
