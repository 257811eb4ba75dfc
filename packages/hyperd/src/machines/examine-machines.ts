import { readdir, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Ailment, entriesOf, leftDrafts, standsStill } from '../upkeep/index.ts';
import type { Cgroups } from './cgroups.ts';
import { gone, type HostProcess, kill, startTicksOf } from './host-process.ts';
import { removeCgroup } from './machine-cgroup.ts';

/** Programs of ours; whatever else has the path on its command line is somebody's own. */
const PROGRAMS = /^(qemu-system-\w+|virtiofsd|share-files)$/;
const DEATH_TIMEOUT_MS = 10_000;

export interface ExaminedMachines {
  readonly root: string;
  readonly cgroups: Cgroups | undefined;
  /** Whether there is a row for it. */
  isKnown(id: string): boolean;
  /** Rows of machines that should run, and have no process. */
  lost(): readonly { readonly id: string; readonly clear: () => Promise<void> }[];
}

/** Processes, directories and rows of machines that nobody has, and unfinished templates. */
export async function examineMachines(machines: ExaminedMachines): Promise<Ailment[]> {
  const directory = join(machines.root, 'machines');
  const templates = join(machines.root, 'templates');
  const found: Ailment[] = [];
  for (const { process, program, id } of await processesIn(directory)) {
    if (machines.isKnown(id)) continue;
    found.push({
      problem: `process ${process.pid} (${program}) of machine ${id}, which there is no more, is still running`,
      remedy: 'it is killed',
      mend: () => end(process),
    });
  }
  for (const id of await entriesOf(directory)) {
    const path = join(directory, id);
    if (machines.isKnown(id)) continue;
    found.push({
      problem: `the directory ${path} is of a machine that there is no more`,
      remedy: 'it is removed',
      mend: () => rm(path, { recursive: true, force: true }),
    });
  }
  for (const path of machines.cgroups?.strays((id) => machines.isKnown(id)) ?? [])
    found.push({
      problem: `the cgroup ${path} is of a machine that there is no more`,
      remedy: 'it is removed, once no process is in it',
      mend: () => endCgroup(path),
    });
  for (const { id, clear } of machines.lost()) {
    found.push({
      problem: `machine ${id} is recorded, and does not run`,
      remedy: 'its record is removed',
      mend: clear,
    });
  }
  const running = await processesIn(templates);
  for (const { process, program, id } of running) {
    if (!(await standsStill(join(templates, id)))) continue;
    found.push({
      problem: `process ${process.pid} (${program}), which was to become a template, is still running`,
      remedy: 'it is killed',
      mend: () => end(process),
    });
  }
  const isDraft = (name: string): boolean => name.endsWith('.tmp');
  return [
    ...found,
    ...(await leftDrafts(templates, isDraft)),
    ...(await leftDrafts(join(machines.root, 'scratch'), isDraft)),
  ];
}

interface FoundProcess {
  readonly process: HostProcess;
  readonly program: string;
  /** The directory's name. */
  readonly id: string;
}

/** Our programs that run in a directory of `parent`, whoever has started them. */
async function processesIn(parent: string): Promise<FoundProcess[]> {
  const found: FoundProcess[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const line = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => ''); // it has just ended
    const [program = ''] = line.split('\0');
    const at = line.indexOf(`${parent}/`);
    if (at < 0 || !PROGRAMS.test(basename(program))) continue;
    const id = /^[\w.-]+/.exec(line.slice(at + parent.length + 1))?.[0];
    const pid = Number(name);
    const startTicks = startTicksOf(pid);
    if (id !== undefined && startTicks !== undefined)
      found.push({ process: { pid, startTicks }, program: basename(program), id });
  }
  return found;
}

async function endCgroup(path: string): Promise<void> {
  if ((await removeCgroup([path])).length > 0) throw new Error(`processes are in ${path}`);
}

async function end(process: HostProcess): Promise<void> {
  kill(process);
  if (!(await gone(process, DEATH_TIMEOUT_MS)))
    throw new Error(`process ${process.pid} is not gone ${DEATH_TIMEOUT_MS / 1000} s after it was killed`);
}
