// How long until a container says something: hyperctl run and docker run, side by side in one run, on the same image. Interleaved, medians, ratios.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensurePackages } from '../scripts/packages.mjs';
import { setUp } from '../scripts/setup.mjs';
import { REPOSITORY } from '../scripts/steps.mjs';

const PEER_PACKAGES = ['docker.io', 'iptables', 'mmdebstrap', 'skopeo'];
const ROUNDS = Number(process.env.ROUNDS ?? 10);
const IMAGE = 'bench/debian:12';
const START_TIMEOUT_MS = 60_000;

/** One run of a whole command: ms to its first byte, and to its end. */
async function timed(command, args, env) {
  const startedAt = performance.now();
  const child = spawn(command, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let firstByte;
  child.stdout.once('data', () => {
    firstByte = performance.now() - startedAt;
  });
  const [code] = await once(child, 'close');
  if (code !== 0 || firstByte === undefined)
    throw new Error(`${command} ${args.join(' ')} ended with ${code}`);
  return { firstByte, whole: performance.now() - startedAt };
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function daemon(command, args, log) {
  const out = openSync(log, 'a');
  return spawn(command, args, { stdio: ['ignore', out, out] });
}

async function answering(what, check, child, log) {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      return check();
    } catch (error) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(
          `${what} does not answer: ${error.message}\n${readFileSync(log, 'utf8').slice(-2000)}`,
        );
      await sleep(200);
    }
  }
}

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

async function main() {
  if (process.getuid() !== 0) throw new Error('the peer, dockerd, needs root; run the benchmark as root');
  await setUp();
  ensurePackages(PEER_PACKAGES);
  const work = mkdtempSync(join(tmpdir(), 'hybench-'));
  const docker = { DOCKER_HOST: `unix://${work}/docker.sock` };
  const hyper = { HYPER_HOST: `unix://${work}/hyper.sock` };
  const hyperctl = join(REPOSITORY, 'bin/hyperctl');
  const quiet = { stdio: ['ignore', 'ignore', 'inherit'] };
  const children = [];
  try {
    console.log('make a Debian image');
    execFileSync('mmdebstrap', ['--quiet', '--variant=minbase', 'bookworm', join(work, 'debian.tar')], quiet);
    const peerLog = join(work, 'dockerd.log');
    const peer = daemon(
      'dockerd',
      [
        '--data-root',
        join(work, 'd'),
        '--exec-root',
        join(work, 'x'),
        '-H',
        docker.DOCKER_HOST,
        '--pidfile',
        join(work, 'p'),
      ],
      peerLog,
    );
    const log = join(work, 'hyperd.log');
    const ours = daemon(
      join(REPOSITORY, 'bin/hyperd'),
      ['--root', join(work, 'h'), '--host', hyper.HYPER_HOST],
      log,
    );
    children.push(peer, ours);
    const withDocker = { env: { ...process.env, ...docker }, encoding: 'utf8' };
    const version = await answering(
      'dockerd',
      () =>
        execFileSync('docker', ['version', '-f', '{{.Server.Version}}'], { ...withDocker, stdio: 'pipe' }),
      peer,
      peerLog,
    );
    execFileSync('docker', ['import', '-c', 'CMD ["bash"]', join(work, 'debian.tar'), IMAGE], {
      ...withDocker,
      ...quiet,
    });
    execFileSync('docker', ['save', '-o', join(work, 'image.tar'), IMAGE], withDocker);
    const withHyper = { env: { ...process.env, ...hyper } };
    await answering(
      'hyperd',
      () => execFileSync(hyperctl, ['info'], { ...withHyper, stdio: 'pipe' }),
      ours,
      log,
    );
    execFileSync(hyperctl, ['load', '-i', join(work, 'image.tar')], { ...withHyper, ...quiet });
    await report(version.trim(), [
      ['docker run', 'docker', docker],
      ['hyperctl run', hyperctl, hyper],
    ]);
  } finally {
    for (const child of children) await stop(child);
    rmSync(work, { recursive: true, force: true });
  }
}

async function report(dockerVersion, contenders) {
  const results = contenders.map(([name]) => ({ name, firstByte: [], whole: [] }));
  for (let round = -1; round < ROUNDS; round++) {
    for (const [index, [, command, env]] of contenders.entries()) {
      const { firstByte, whole } = await timed(command, ['run', '--rm', IMAGE, 'echo', 'hello'], env);
      if (round < 0) continue; // warm-up
      results[index].firstByte.push(firstByte);
      results[index].whole.push(whole);
    }
  }
  console.log(
    `\n${cpus().length} × ${cpus()[0]?.model}; dockerd ${dockerVersion}; ${ROUNDS} rounds, interleaved; medians in ms\n`,
  );
  const [peer] = results;
  console.log('                  first byte    ratio     whole command    ratio');
  for (const { name, firstByte, whole } of results) {
    const cells = [firstByte, whole].map((values, i) => {
      const value = median(values);
      return `${value.toFixed(0).padStart(10)} ${(value / median([peer.firstByte, peer.whole][i])).toFixed(2).padStart(8)}`;
    });
    console.log(`${name.padEnd(14)} ${cells[0]}        ${cells[1]}`);
  }
}

await main();
