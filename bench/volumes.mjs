// Volumes beside Docker's: fio in a Debian container on a directory of the host, on a named volume and on an empty one, and the start of a pod with a
// volume. Throughput is told as the time that a fixed amount takes.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { timed } from './processes.mjs';
import { HYPERCTL } from './surroundings.mjs';

const IMAGE = 'bench/fio:12';
const SEQUENTIAL_MIB = 256;
const RANDOM_MIB = 16;

export const name = 'volumes';
export const summary = 'fio on volumes of each kind, and the start with one';

export async function* cases({ directory, docker, hyper }) {
  makeImage(directory, docker, hyper);
  const shared = join(directory, 'shared');
  mkdirSync(shared);
  const places = [
    ['bind mount', `${shared}:/v`],
    ['named volume', 'bench:/v'],
    ['empty volume', '/v'],
  ];
  for (const [place, volume] of places) {
    const jobs = [
      [
        `write ${SEQUENTIAL_MIB} MiB`,
        ['--rw=write', '--bs=1M', `--size=${SEQUENTIAL_MIB}M`, '--end_fsync=1'],
      ],
      [`read ${SEQUENTIAL_MIB} MiB`, ['--rw=read', '--bs=1M', `--size=${SEQUENTIAL_MIB}M`]],
      [
        `write ${RANDOM_MIB} MiB, 4 KiB random`,
        ['--rw=randwrite', '--bs=4k', `--size=${RANDOM_MIB}M`, '--end_fsync=1'],
      ],
      [`read ${RANDOM_MIB} MiB, 4 KiB random`, ['--rw=randread', '--bs=4k', `--size=${RANDOM_MIB}M`]],
    ];
    for (const [what, job] of jobs) {
      const fio = ['fio', '--name=j', '--filename=/v/f', '--ioengine=psync', '--output-format=json', ...job];
      const run = (command, env) => () => jobMs(command, ['run', '--rm', '-v', volume, IMAGE, ...fio], env);
      yield {
        ...{ title: `${place}: ${what}`, figure: (ms) => ms },
        ...{ ours: run(HYPERCTL, hyper), peer: run('docker', docker) },
      };
    }
  }
  const start = (command, env) => () =>
    timed(command, ['run', '--rm', '-v', `${shared}:/v`, IMAGE, 'echo', 'hello'], env);
  yield {
    ...{ title: 'run with a bind mount: first byte', figure: ({ firstByte }) => firstByte },
    ...{ ours: start(HYPERCTL, hyper), peer: start('docker', docker) },
  };
}

/** Milliseconds that the job itself took, as fio tells them. */
function jobMs(command, args, env) {
  const output = execFileSync(command, args, {
    ...{ env: { ...process.env, ...env }, encoding: 'utf8', maxBuffer: 1 << 26 },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [{ read, write }] = JSON.parse(output.slice(output.indexOf('{'))).jobs;
  return Math.max(read.runtime, write.runtime);
}

function makeImage(directory, docker, hyper) {
  const tree = join(directory, 'fio.tar');
  const quiet = (env) => ({ env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit'] });
  execFileSync('mmdebstrap', ['--quiet', '--variant=minbase', '--include=fio', 'bookworm', tree], quiet({}));
  execFileSync('docker', ['import', '-c', 'CMD ["bash"]', tree, IMAGE], quiet(docker));
  const archive = join(directory, 'fio-image.tar');
  execFileSync('docker', ['save', '-o', archive, IMAGE], quiet(docker));
  execFileSync(HYPERCTL, ['load', '-i', archive], quiet(hyper));
}
