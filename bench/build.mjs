// Builds: hyperctl and docker with the same Dockerfile and context.

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { timed } from './processes.mjs';
import { copyImage, HYPERCTL, makeLayout } from './surroundings.mjs';

export const name = 'build';
export const summary = 'Dockerfiles';

const BASE = 'bench/debian';
const CONTEXT_BYTES = 20e6;
const FILES = 200;

/** Files that compress about as programs and texts do. */
function makeContext(directory) {
  mkdirSync(join(directory, 'files'), { recursive: true });
  const size = CONTEXT_BYTES / FILES;
  for (let index = 0; index < FILES; index++) {
    const text = randomBytes(size / 4).toString('hex');
    writeFileSync(join(directory, 'files', `${index}`), text + text);
  }
}

const DOCKERFILES = {
  'COPY of 20 MB, two RUN': ['COPY files /files', 'RUN ls /files | wc -l > /count', 'RUN rm /files/7'],
  'ten COPY, no RUN': Array.from({ length: 10 }, (_, index) => `COPY files/${index} /to/${index}/`),
  'rebuild, all cached': ['COPY files /files', 'RUN ls /files | wc -l > /count', 'RUN rm /files/7'],
  'two stages that wait 1 s each': [
    ...['RUN sleep 1; echo 1 > /sum'],
    ...[`FROM ${BASE} AS other`, 'RUN sleep 1; echo 2 > /sum'],
    ...[`FROM ${BASE}`, 'COPY --from=0 /sum /one', 'COPY --from=other /sum /two'],
  ],
};

export async function* cases({ directory, docker, hyper, tree }) {
  const layout = join(directory, 'layout-build');
  mkdirSync(layout);
  await makeLayout(tree, layout, 1);
  const archive = join(directory, 'base.tar');
  copyImage(`oci:${layout}:bench`, `docker-archive:${archive}:${BASE}:latest`);
  execFileSync(HYPERCTL, ['load', '-i', archive], { env: { ...process.env, ...hyper }, stdio: 'ignore' });
  execFileSync('docker', ['load', '-i', archive], { env: { ...process.env, ...docker }, stdio: 'ignore' });
  const context = join(directory, 'build-context');
  makeContext(context);
  for (const [title, lines] of Object.entries(DOCKERFILES)) {
    const file = join(context, `Dockerfile.${title.replace(/\W+/g, '-')}`);
    writeFileSync(file, [`FROM ${BASE}`, ...lines, ''].join('\n'));
    const args = [
      'build',
      ...(title.includes('cached') ? [] : ['--no-cache']),
      '-t',
      'built',
      '-f',
      file,
      context,
    ];
    yield {
      title,
      ours: () => timed(HYPERCTL, args, hyper),
      peer: () => timed('docker', args, { ...docker, DOCKER_BUILDKIT: '0' }),
      figure: ({ whole }) => whole,
    };
  }
}
