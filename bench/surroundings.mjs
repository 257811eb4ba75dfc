// What every case finds: hyperd and dockerd, each with a state of its own, registries on loopback, and images to work on.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createReadStream,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { BUILD, REPOSITORY, step } from '../scripts/steps.mjs';
import { call, socketOf } from './api.mjs';
import { startDaemon, stopDaemon } from './processes.mjs';

export const HYPERCTL = join(REPOSITORY, 'bin/hyperctl');
const QUIET = { stdio: ['ignore', 'ignore', 'inherit'] };

/**
 * Runs `work` with everything there, and takes it all away again: daemons, and the pods and containers that they have. `hyperd` is ours, see
 * `startHyperd`; `docker` and `hyper` are the environments of the two commands.
 */
export async function withSurroundings(options, work) {
  const directory = mkdtempSync(join(tmpdir(), 'hybench-'));
  const docker = { DOCKER_HOST: `unix://${directory}/docker.sock` };
  const hyper = { HYPER_HOST: `unix://${directory}/hyper.sock` };
  const running = {};
  try {
    running.peer = await startPeer(directory, docker);
    const hyperd = await startHyperd(directory, hyper, options);
    running.hyperd = hyperd;
    const tree = debianTree();
    const dockerVersion = running.peer.answer;
    return await work({ directory, docker, hyper, hyperd, dockerVersion, tree, options });
  } finally {
    await running.hyperd?.end();
    await removeContainers(docker);
    if (running.peer) await stopDaemon(running.peer.child);
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A minimal Debian as a tar, kept between runs. */
function debianTree() {
  const tree = join(BUILD, 'cache/bench-debian.tar');
  step('Debian tree for the benchmarks', { inputs: [], outputs: ['build/cache/bench-debian.tar'] }, () => {
    mkdirSync(dirname(tree), { recursive: true });
    execFileSync('mmdebstrap', ['--quiet', '--variant=minbase', 'bookworm', `${tree}.tmp.tar`], QUIET);
    renameSync(`${tree}.tmp.tar`, tree);
  });
  return tree;
}

/** Our daemon, which keeps its state when it is started anew. */
async function startHyperd(directory, hyper, { kernel, initrd, ownGuest }) {
  const root = join(directory, 'h');
  const log = join(directory, 'hyperd.log');
  const file = join(directory, 'hyperd.conf');
  const guest = ownGuest ? ['--kernel', kernel, '--initrd', initrd] : [];
  let settings = '';
  let daemon;
  const start = async (wanted) => {
    settings = wanted;
    writeFileSync(file, settings);
    daemon = await startDaemon(
      ...[
        join(REPOSITORY, 'bin/hyperd'),
        ['--root', root, '--host', hyper.HYPER_HOST, '--config', file, ...guest],
      ],
      ...[log, () => call(socketOf(hyper.HYPER_HOST), 'GET', '/info')],
    );
  };
  await start('');
  return {
    root,
    get pid() {
      return daemon.child.pid;
    },
    /** Its configuration file's text; where it is another than before, the daemon is started anew. */
    async configure(wanted) {
      if (wanted === settings) return;
      await stopDaemon(daemon.child);
      await start(wanted);
    },
    /** What the daemon has logged since `from`, a length of its log. */
    log: (from = 0) => readFileSync(log, 'utf8').slice(from),
    async stop() {
      await stopDaemon(daemon.child);
    },
    /** Starts it again, as it was; resolves with the ms until it answers. */
    async start() {
      const startedAt = performance.now();
      await start(settings);
      return performance.now() - startedAt;
    },
    /** Machines outlive their daemon: they are ended with it. */
    async end() {
      await stopDaemon(daemon.child);
      for (const pid of machinePids(root)) killIfThere(pid);
    },
  };
}

function killIfThere(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** QEMU processes whose files lie below `root`. */
export function machinePids(root) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && commandLineOf(name).includes(`${root}/`))
    .filter((name) => commandLineOf(name).startsWith('qemu-system'))
    .map(Number);
}

export function commandLineOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return ''; // it has just ended
  }
}

/** Containers that a run which was broken off has left; the peer would wait for each of them to end. */
async function removeContainers(docker) {
  const env = { ...process.env, ...docker };
  const { stdout } = spawnSync('docker', ['ps', '-aq'], { env, encoding: 'utf8', timeout: 10_000 });
  const ids = (stdout ?? '').split('\n').filter((id) => id !== '');
  if (ids.length > 0) await tryRun('docker', ['rm', '-f', ...ids], docker);
}

async function startPeer(directory, docker) {
  const state = (name) => join(directory, name);
  const { child, answer } = await startDaemon(
    'dockerd',
    [
      ...['--data-root', state('d'), '--exec-root', state('x'), '--pidfile', state('p')],
      ...['-H', docker.DOCKER_HOST],
    ],
    state('dockerd.log'),
    () =>
      execFileSync('docker', ['version', '-f', '{{.Server.Version}}'], {
        ...{ env: { ...process.env, ...docker }, encoding: 'utf8', stdio: 'pipe' },
      }),
  );
  return { child, answer: answer.trim() };
}

/** A docker-registry on loopback with an empty storage of its own. */
export async function startRegistry(directory, name) {
  const storage = join(directory, name);
  const port = await freePort();
  mkdirSync(storage);
  const configuration = join(directory, `${name}.json`);
  writeFileSync(
    configuration,
    JSON.stringify({
      ...{ version: 0.1, log: { level: 'error' }, http: { addr: `127.0.0.1:${port}` } },
      storage: { filesystem: { rootdirectory: storage } },
    }),
  );
  const { child } = await startDaemon(
    'docker-registry',
    ['serve', configuration],
    `${storage}.log`,
    async () => {
      const answer = await fetch(`http://localhost:${port}/v2/`);
      if (!answer.ok) throw new Error(`it answers ${answer.status}`);
    },
  );
  return {
    host: `localhost:${port}`,
    async [Symbol.asyncDispose]() {
      await stopDaemon(child);
      rmSync(storage, { recursive: true });
    },
  };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** An OCI image layout of a tree's tar, its files dealt out to `count` gzip layers. */
export async function makeLayout(tree, directory, count) {
  const blobs = join(directory, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const unpacked = join(directory, 'tree');
  mkdirSync(unpacked);
  execFileSync('tar', ['-xf', tree, '-C', unpacked, '--exclude=./dev/*'], QUIET);
  const names = execFileSync('find', ['.', '-print0'], {
    cwd: unpacked,
    encoding: 'latin1',
    maxBuffer: 1 << 28,
  });
  const all = names.split('\0').filter((name) => name !== '');
  const layers = [];
  for (let index = 0; index < count; index++) {
    // Names next to each other go to one layer, as the steps of a build have it.
    const own = all.slice(
      Math.floor((index * all.length) / count),
      Math.floor(((index + 1) * all.length) / count),
    );
    layers.push(await makeLayer(own, unpacked, directory, blobs));
  }
  const put = (value) => {
    const bytes = Buffer.from(JSON.stringify(value));
    const hex = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(join(blobs, hex), bytes);
    return { digest: `sha256:${hex}`, size: bytes.length };
  };
  const config = put({
    ...{ architecture: 'amd64', os: 'linux', created: '2026-01-01T00:00:00Z', config: { Cmd: ['bash'] } },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
  });
  const manifest = put({
    ...{ schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json' },
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: layers.map(({ digest, size }) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      digest,
      size,
    })),
  });
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const annotations = { 'org.opencontainers.image.ref.name': 'bench' };
  const index = { mediaType: 'application/vnd.oci.image.manifest.v1+json', ...manifest, annotations };
  writeFileSync(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [index] }));
  rmSync(unpacked, { recursive: true });
  return layers.reduce((sum, { size }) => sum + size, 0);
}

async function makeLayer(names, tree, directory, blobs) {
  const list = join(directory, 'names');
  const tar = join(directory, 'layer.tar');
  writeFileSync(list, names.map((name) => `${name}\0`).join(''), 'latin1');
  execFileSync('tar', ['-cf', tar, '--no-recursion', '--null', '-T', list], { cwd: tree, ...QUIET });
  const diffId = await digestOf(tar);
  execFileSync('gzip', ['-nf', tar]);
  const digest = await digestOf(`${tar}.gz`);
  const { size } = statSync(`${tar}.gz`);
  renameSync(`${tar}.gz`, join(blobs, digest.slice('sha256:'.length)));
  rmSync(list);
  return { diffId, digest, size };
}

async function digestOf(path) {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
}

/** Copies with skopeo between any of its places. */
export function copyImage(from, to) {
  execFileSync(
    'skopeo',
    ['copy', '-q', '--insecure-policy', '--src-tls-verify=false', '--dest-tls-verify=false', from, to],
    QUIET,
  );
}

/** The most memory that a process has had, in MiB. */
export function peakMemoryMib(pid) {
  const status = execFileSync('cat', [`/proc/${pid}/status`], { encoding: 'utf8' });
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024;
}

/** Runs a command, its failure ignored: what is to be removed may not be there. */
export function tryRun(command, args, env) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: 'ignore' });
    child.once('close', resolve);
    child.once('error', resolve);
  });
}
