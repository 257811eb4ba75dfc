// How long until a container says something: hyperctl run and docker run on the same image.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { timed } from './processes.mjs';
import { HYPERCTL } from './surroundings.mjs';

const IMAGE = 'bench/debian:12';

export const name = 'start';

export async function* cases({ directory, docker, hyper, tree }) {
  const quiet = (env) => ({ env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit'] });
  execFileSync('docker', ['import', '-c', 'CMD ["bash"]', tree, IMAGE], quiet(docker));
  const archive = join(directory, 'image.tar');
  execFileSync('docker', ['save', '-o', archive, IMAGE], quiet(docker));
  execFileSync(HYPERCTL, ['load', '-i', archive], quiet(hyper));
  const run = (command, env) => timed(command, ['run', '--rm', IMAGE, 'echo', 'hello'], env);
  const measured = { ours: () => run(HYPERCTL, hyper), peer: () => run('docker', docker) };
  yield { title: 'run: first byte', ...measured, figure: ({ firstByte }) => firstByte };
  yield { title: 'run: whole command', ...measured, figure: ({ whole }) => whole };
}
