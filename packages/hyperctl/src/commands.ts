import type { Command } from './command.ts';

export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  load(): Promise<{ readonly command: Command }>;
}

/**
 * All commands, in the order of the help. A command's module is loaded only when it is called, so that it costs nothing to the others;
 * a test holds the summaries to the modules' own.
 */
export const COMMANDS: readonly CommandEntry[] = [
  entry(
    'run',
    'Create a pod of one container, start it, and join it until it ends',
    () => import('./commands/run.ts'),
  ),
  entry(
    'create',
    'Create a pod, or with -c a container in a pod, without starting it',
    () => import('./commands/create.ts'),
  ),
  entry('start', 'Start pods, or with -c containers', () => import('./commands/start.ts')),
  entry(
    'stop',
    'Stop pods, or with -c containers: stop signal, and SIGKILL after 5 s',
    () => import('./commands/stop.ts'),
  ),
  entry('rm', 'Remove pods, or with -c containers; running ones are ended', () => import('./commands/rm.ts')),
  entry('list', 'List pods (the default), containers or machines', () => import('./commands/list.ts')),
  entry('ps', 'List containers, as "list container" does', () => import('./commands/ps.ts')),
  entry(
    'vm',
    'Make a machine that waits for a pod (the default), or end machines',
    () => import('./commands/vm.ts'),
  ),
  entry(
    'attach',
    'Join a container, or the first one of a pod, until it ends',
    () => import('./commands/attach.ts'),
  ),
  entry(
    'exec',
    'Run a further command in a container, or in the first one of a pod',
    () => import('./commands/exec.ts'),
  ),
  entry(
    'logs',
    'Print what a container, or the first one of a pod, has written',
    () => import('./commands/logs.ts'),
  ),
  entry(
    'wait',
    'Wait until containers or pods have ended, and print their exit codes in the order given',
    () => import('./commands/wait.ts'),
  ),
  entry(
    'cp',
    'Copy files and directories between this host and a container',
    () => import('./commands/cp.ts'),
  ),
  entry(
    'stats',
    'Show what running pods (all, or those named) use, every second',
    () => import('./commands/stats.ts'),
  ),
  entry(
    'top',
    'List what runs in a container, or in all containers of a pod',
    () => import('./commands/top.ts'),
  ),
  entry(
    'events',
    'Print what happens to pods, containers, images and machines, as it happens',
    () => import('./commands/events.ts'),
  ),
  entry('kill', 'Signal containers, or with -p pods', () => import('./commands/kill.ts')),
  entry('pause', "Stop a pod's clocks", () => import('./commands/pause.ts')),
  entry('unpause', 'Let a paused pod go on', () => import('./commands/unpause.ts')),
  entry(
    'inspect',
    'Print all about pods, containers and images as a JSON array, or one member of each',
    () => import('./commands/inspect.ts'),
  ),
  entry('ports', 'List, add or delete published ports of a pod', () => import('./commands/ports.ts')),
  entry(
    'network',
    'Create, list, describe or remove networks of pods, or put a pod on one',
    () => import('./commands/network.ts'),
  ),
  entry(
    'service',
    'List, add, replace or remove balanced addresses of a pod',
    () => import('./commands/service.ts'),
  ),
  entry('build', 'Build an image of a Dockerfile', () => import('./commands/build.ts')),
  entry(
    'volume',
    'Make, list, describe or remove volumes that have a name',
    () => import('./commands/volume.ts'),
  ),
  entry('commit', 'Make an image of what a container has changed', () => import('./commands/commit.ts')),
  entry('images', 'List images', () => import('./commands/images.ts')),
  entry('pull', 'Pull an image from its registry', () => import('./commands/pull.ts')),
  entry('push', 'Send an image to the registry that its name gives', () => import('./commands/push.ts')),
  entry(
    'load',
    'Take in images from a "docker save" archive or an OCI layout (tar, plain or compressed)',
    () => import('./commands/load.ts'),
  ),
  entry(
    'save',
    'Write images to an archive for "load", "docker load" or skopeo',
    () => import('./commands/save.ts'),
  ),
  entry(
    'import',
    'Make an image out of a tar of its root file system (plain or compressed), and print its id',
    () => import('./commands/import.ts'),
  ),
  entry('tag', 'Give an image a further name', () => import('./commands/tag.ts')),
  entry(
    'history',
    'Show the steps that an image was made in, newest first',
    () => import('./commands/history.ts'),
  ),
  entry('rmi', 'Remove images, or names of them', () => import('./commands/rmi.ts')),
  entry(
    'prune',
    'Remove images that no container uses: those without a tag, or with -a all',
    () => import('./commands/prune.ts'),
  ),
  entry(
    'login',
    "Log in to a registry (default: Docker's) and keep the credentials for pull, push and build",
    () => import('./commands/login.ts'),
  ),
  entry(
    'logout',
    "Forget the credentials for a registry (default: Docker's)",
    () => import('./commands/logout.ts'),
  ),
  entry('info', 'Describe the daemon and its host', () => import('./commands/info.ts')),
  entry(
    'doctor',
    'Look for what of hyperd is out of joint on its host, and with --fix mend it',
    () => import('./commands/doctor.ts'),
  ),
  entry(
    'completion',
    'Print a script that completes hyperctl in a shell',
    () => import('./commands/completion.ts'),
  ),
  entry(
    'version',
    'Print the version of hyperctl; "hyperctl info" has the one of hyperd',
    () => import('./commands/version.ts'),
  ),
];

function entry(name: string, summary: string, load: CommandEntry['load']): CommandEntry {
  return { name, summary, load };
}
