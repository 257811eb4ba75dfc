import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { isHyperError } from '../packages/hyperd/src/errors.ts';
import { Events } from '../packages/hyperd/src/events/index.ts';
import {
  connectAgent,
  type GuestProcess,
  type OutputSink,
  type ProcessSpec,
} from '../packages/hyperd/src/guest/index.ts';
import { createFileServers } from '../packages/hyperd/src/machines/file-server.ts';
import type { LivenessTiming } from '../packages/hyperd/src/machines/liveness.ts';
import type { Machine, MachineService } from '../packages/hyperd/src/machines/machine.ts';
import { createMachineService } from '../packages/hyperd/src/machines/machine-service.ts';
import { createQemuDriver } from '../packages/hyperd/src/machines/qemu/driver.ts';
import { createScratchDisks } from '../packages/hyperd/src/machines/scratch-disk.ts';
import { openState, type State } from '../packages/hyperd/src/state/database.ts';
import { eventually, pidsMentioning } from './support/daemon.ts';
import { GUEST } from './support/guest.ts';
import { busyboxLayer, layerTar } from './support/images.ts';
import { writeRootfs } from './support/rootfs.ts';

const SHAPE = { vcpus: 1, memoryMib: 128 };
const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

const warnings: string[] = [];
const listening = { ...silent, warn: (_: object, text: string) => void warnings.push(text) };

let root: string;
let state: State;
let machines: MachineService;

async function open(
  initrd = GUEST.initrd,
  more: {
    readonly bootTimeoutMs?: number;
    readonly liveness?: LivenessTiming;
    readonly rehearsalDisk?: string;
  } = {},
): Promise<MachineService> {
  const host = join(import.meta.dirname, '../build/host');
  const rehearsalDisk = join(import.meta.dirname, '../build/guest/rehearsal.erofs');
  const driver = createQemuDriver({
    ...{ kernel: GUEST.kernel, initrd, networkGuard: join(host, 'network-guard.so') },
    ...{
      confine: join(host, 'confine'),
      passFile: join(host, 'pass-file'),
      readable: [dirname(rehearsalDisk)],
      resolvConf: '/etc/resolv.conf',
    },
  });
  return createMachineService({
    ...{ root, state, driver, connectAgent, logger: listening, events: new Events(), rehearsalDisk, ...more },
    scratch: createScratchDisks(root),
    fileServers: createFileServers(join(import.meta.dirname, '../build/host/share-files')),
  });
}

before(async () => {
  root = mkdtempSync(join(tmpdir(), 'hym-'));
  state = openState(root);
  machines = await open();
  await machines.prepare(SHAPE);
  await writeRootfs(join(root, 'rootfs.img'), [layerTar(busyboxLayer())]);
  await createScratchDisks(root).ensure(join(root, 'scratch.img'));
});
after(async () => {
  await machines[Symbol.asyncDispose]();
  state[Symbol.dispose]();
  for (const pid of pidsMentioning(root, 'qemu')) process.kill(pid, 'SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

const acquire = (hostname = 'h'): Promise<Machine> =>
  machines.acquire({ shape: SHAPE, owner: undefined, identity: { hostname, machineId: 'ab'.repeat(16) } });

let lastId = 0;
function spec(args: string[], more: Partial<ProcessSpec> = {}): ProcessSpec {
  return {
    ...{ id: ++lastId, args, env: ['PATH=/bin'], cwd: '/', user: '', additionalGroups: [], tty: false },
    ...{ rows: 24, columns: 80, noStdin: false, rlimits: [], ...more },
  };
}

async function withContainer(work: (machine: Machine) => Promise<void>): Promise<void> {
  const machine = await acquire();
  try {
    const scratch = join(root, `scratch-${machine.id}.img`);
    await createScratchDisks(root).ensure(scratch);
    await machine.attachDisk(
      { path: join(root, 'rootfs.img'), format: 'raw', readOnly: true },
      { use: 'rootfs', name: 'r' },
    );
    await machine.attachDisk(
      { path: scratch, format: 'raw', readOnly: false },
      { use: 'scratch', name: 'scratch' },
    );
    await work(machine);
  } finally {
    await machine.stop();
  }
}

const start = (machine: Machine, process: ProcessSpec, sink: OutputSink): Promise<GuestProcess> =>
  machine.agent.startContainer(
    {
      ...{ containerId: `c${process.id}`, rootfsDisk: 'r', scratchDisk: 'scratch', readOnlyRootfs: false },
      ...{ process, files: [], sysctls: {} },
    },
    sink,
  );

/** Collects output, acknowledging all of it. */
function collector() {
  const text = { stdout: '', stderr: '' };
  const ended = Promise.withResolvers<void>();
  let open_ = 2;
  let process: GuestProcess | undefined;
  const sink: OutputSink = {
    data(stream, chunk, end) {
      text[stream] += Buffer.from(chunk).toString('latin1');
      process?.acknowledge(stream, end);
    },
    end() {
      if (--open_ === 0) ended.resolve();
    },
  };
  return { text, sink, ended: ended.promise, bind: (started: GuestProcess) => (process = started) };
}

async function output(machine: Machine, ...args: string[]): Promise<string> {
  const collected = collector();
  const process = await start(machine, spec(args), collected.sink);
  collected.bind(process);
  await process.exited;
  await collected.ended;
  return collected.text.stdout;
}

function nothingLeft(): void {
  assert.deepEqual(machines.list(), []);
  assert.deepEqual(readdirSync(join(root, 'machines')), []);
  assert.deepEqual(pidsMentioning(root, 'qemu'), []);
}

test('clones of one template are no twins: random bytes, MAC addresses and host names differ', async () => {
  const seen: string[][] = [];
  for (let i = 0; i < 2; i++) {
    await withContainer(async (machine) => {
      const script =
        'head -c 16 /dev/urandom | od -An -tx1; cat /sys/class/net/eth0/address; cat /proc/sys/kernel/random/uuid';
      seen.push(
        (await output(machine, 'busybox', 'sh', '-c', script.replaceAll('head', 'busybox head')))
          .trim()
          .split('\n'),
      );
    });
  }
  const [first, second] = seen as [string[], string[]];
  assert.equal(first.length, 3);
  for (const [i, value] of first.entries()) assert.notEqual(value, second[i]);
  nothingLeft();
});

test('nothing of what its template has rehearsed is left in a clone', async () => {
  assert.deepEqual(warnings, []); // there has been a rehearsal
  const machine = await acquire();
  assert.deepEqual(await machine.agent.listProcesses(), []);
  assert.equal(machine.agent.info.configured, true); // so it has got as far as that
  const collected = collector();
  const script =
    'cd /sys/class/scsi_disk && echo *; ls -d /sys/fs/cgroup/*/*/; cat /proc/mounts; find / -xdev; ls /proc/*/cwd -l';
  const process = await machine.agent.startProcess(
    '',
    spec(['/sbin/busybox', 'sh', '-c', script.replaceAll(/\b(ls|cat|find) /g, '/sbin/busybox $1 ')]),
    collected.sink,
  );
  collected.bind(process);
  await process.exited;
  await collected.ended;
  const [disks, ...rest] = collected.text.stdout.split('\n');
  assert.equal(disks, '*');
  assert.ok(rest.some((line) => line.includes(' / tmpfs ')));
  assert.deepEqual(
    rest.filter((line) => line.includes('rehearsal')),
    [],
  );
  await machine.stop();
  nothingLeft();
});

test('a template is made also where its rehearsal fails, which the log tells', async () => {
  await using service = await open(undefined, { rehearsalDisk: join(root, 'none.erofs') });
  const identity = { hostname: 'h', machineId: 'ab'.repeat(16) };
  const shape = { vcpus: 1, memoryMib: 160 };
  await service.prepare(shape);
  const machine = await service.acquire({ shape, owner: undefined, identity });
  assert.equal(machine.source, 'clone');
  assert.deepEqual(warnings.splice(0), ['rehearse for a machine template; it is made without']);
  await machine.stop();
  nothingLeft();
});

test('a template that somebody waits for is not rehearsed', async () => {
  const identity = { hostname: 'h', machineId: 'ab'.repeat(16) };
  const machine = await machines.acquire({ shape: { vcpus: 1, memoryMib: 192 }, owner: undefined, identity });
  assert.deepEqual([machine.source, machine.agent.info.configured], ['clone', false]);
  await machine.stop();
  nothingLeft();
});

test('memory that a container has freed is given back to the host, and the template stays as it is', async () => {
  await withContainer(async (machine) => {
    const script =
      'dd if=/dev/zero of=/dev/shm/much bs=1M count=60 2>&1; echo there; while [ ! -e /go ]; do sleep 0.1; done; rm /dev/shm/much; echo gone; sleep 1000';
    let said = '';
    const container = spec(['sh', '-c', script.replaceAll(/\b(dd|sleep|rm) /g, 'busybox $1 ')]);
    const process = await start(machine, container, {
      data: (_, chunk) => {
        said += Buffer.from(chunk).toString();
      },
      end: () => undefined,
    });
    const [pid] = pidsMentioning(root, 'qemu');
    const before = privateMib(pid as number);
    await eventually('it has filled its memory', async () => said.endsWith('there\n'));
    const most = privateMib(pid as number);
    assert.ok(most > 50, `${most} MiB: ${said}`);
    const go = await machine.agent.startProcess(
      `c${container.id}`,
      spec(['busybox', 'touch', '/go']),
      collector().sink,
    );
    assert.equal((await go.exited).exitCode, 0);
    await eventually('most of it is given back', async () => privateMib(pid as number) < most - 45, 60_000);
    assert.ok(before < most);
    await process.signal(9);
    await process.exited;
  });
  await withContainer(async (machine) => {
    assert.equal(await output(machine, 'echo', 'another clone'), 'another clone\n');
  });
});

/** MiB of a machine's memory that are its own. */
function privateMib(pid: number): number {
  let isMemory = false;
  let kib = 0;
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) isMemory = line.endsWith('/memory');
    if (isMemory) kib += Number(/^(?:Anonymous):\s+(\d+) kB$/.exec(line)?.[1] ?? 0);
  }
  return kib / 1024;
}

test('a machine that is killed from outside ends as "died", and nothing of it is left', async () => {
  const machine = await acquire();
  const [pid] = pidsMentioning(root, 'qemu');
  process.kill(pid as number, 'SIGKILL');
  assert.equal((await machine.exited).kind, 'died');
  nothingLeft();
});

test('a machine that powers itself off says so; stopping one twice is the same as once', async () => {
  const machine = await acquire();
  await machine.agent.shutdown();
  assert.equal((await machine.exited).kind, 'poweroff');
  await Promise.all([machine.stop(), machine.stop({ graceMs: 1000 })]);
  nothingLeft();
});

test('a machine that hangs at boot is an error with the end of its console, and nothing is left', async () => {
  const broken = mkdtempSync(join(tmpdir(), 'hyb-'));
  try {
    const init =
      '#!/bin/busybox sh\n/bin/busybox mount -t devtmpfs d /dev; echo the agent never comes > /dev/ttyS0; /bin/busybox sleep 1000\n';
    execFileSync(
      'sh',
      [
        '-c',
        'mkdir -p bin dev && cp /bin/busybox bin/ && cat > init && chmod 755 init && find . | cpio --quiet -o -H newc > ../initrd.cpio',
      ],
      {
        input: init,
        cwd: execFileSync('mktemp', ['-d', '-p', broken], { encoding: 'utf8' }).trim(),
      },
    );
    await using hanging = await open(join(broken, 'initrd.cpio'), { bootTimeoutMs: 20_000 });
    await assert.rejects(
      hanging.acquire({
        shape: SHAPE,
        owner: undefined,
        identity: { hostname: 'h', machineId: 'ab'.repeat(16) },
      }),
      (error) =>
        isHyperError(error, 'machine') &&
        /no answer within 20000 ms/.test(error.message) &&
        /the agent never comes/.test(error.message),
    );
    nothingLeft();
  } finally {
    rmSync(broken, { recursive: true, force: true });
  }
});

test('a start that is canceled leaves nothing', async () => {
  const abort = new AbortController();
  const starting = machines.acquire({
    ...{ shape: SHAPE, owner: undefined, identity: { hostname: 'h', machineId: 'ab'.repeat(16) } },
    signal: abort.signal,
  });
  setTimeout(() => abort.abort(), 60);
  await assert.rejects(starting, (error) => isHyperError(error, 'canceled'));
  nothingLeft();
});

test('an agent that breaks the protocol costs its machine only', async () => {
  const [bad, good] = await Promise.all([acquire(), acquire()]);
  await bad.agent[Symbol.asyncDispose](); // what a violation does to the connection
  const exit = await bad.exited;
  assert.equal(exit.kind, 'died');
  await good.agent.setClock();
  await good.stop();
  nothingLeft();
});

test('an agent that a process of the guest has frozen costs its machine, with that as the reason', async () => {
  const watching = await open(undefined, { liveness: { intervalMs: 500, silenceMs: 5_000 } });
  try {
    const identity = { hostname: 'h', machineId: 'ab'.repeat(16) };
    const [frozen, other] = await Promise.all([
      watching.acquire({ shape: SHAPE, owner: undefined, identity }),
      watching.acquire({ shape: SHAPE, owner: undefined, identity }),
    ]);
    const freeze =
      'cd /sys/fs/cgroup; mkdir ice; echo 1 > ice/cgroup.procs; sleep 3; echo 1 > ice/cgroup.freeze; sleep 1000';
    const args = ['/sbin/busybox', 'sh', '-c', freeze];
    await frozen.agent.startProcess('', spec(args), collector().sink);
    const exit = await frozen.exited;
    assert.equal(exit.kind === 'died' && exit.message, 'the guest has not answered for 5 s');
    await other.agent.setClock();
    await other.stop();
    nothingLeft();
  } finally {
    await watching[Symbol.asyncDispose]();
  }
});

test('machines outlive their service; half-made ones and strays do not', async () => {
  const machine = await acquire();
  await machines[Symbol.asyncDispose]();
  state.db
    .prepare(
      "INSERT INTO machines (id, phase, vcpus, memory_mib, created_at) VALUES ('vm-half', 'starting', 1, 128, 0)",
    )
    .run();
  execFileSync('mkdir', [join(root, 'machines/vm-stray')]);
  machines = await open();
  const adopted = await machines.adoptAll();
  assert.deepEqual(
    adopted.map(({ id }) => id),
    [machine.id],
  );
  assert.equal(existsSync(join(root, 'machines/vm-stray')), false);
  await adopted[0]?.agent.setClock();
  await adopted[0]?.stop();
  nothingLeft();
});

test('a process that floods its output does not hold up another one', async () => {
  await withContainer(async (machine) => {
    let taken = 0;
    const flood = await start(
      machine,
      spec(['sh', '-c', 'while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyy; done']),
      {
        data: (_, chunk) => {
          taken += chunk.length; // and never acknowledged
        },
        end: () => undefined,
      },
    );
    assert.equal(await output(machine, 'echo', 'through'), 'through\n');
    assert.ok(taken <= machine.agent.info.windowBytes);
    await flood.signal(9);
    assert.equal((await flood.exited).signal, 9);
  });
});

test('orphans are reaped, a thousand of them, and exit codes of others stay right', async () => {
  await withContainer(async (machine) => {
    const script = 'i=0; while [ $i -lt 1000 ]; do (true & ) ; i=$((i+1)); done; exit 6';
    const process = await start(machine, spec(['sh', '-c', script]), {
      data: () => undefined,
      end: () => undefined,
    });
    assert.equal((await process.exited).exitCode, 6);
    const zombies = 'for s in /proc/[0-9]*/stat; do busybox cut -d " " -f 3 $s; done 2>/dev/null | grep -c Z';
    assert.equal((await output(machine, 'sh', '-c', zombies)).trim(), '0');
  });
});

test('disks come and go, and a name is used again', async () => {
  const machine = await acquire();
  for (let i = 0; i < 3; i++) {
    await machine.attachDisk(
      { path: join(root, 'rootfs.img'), format: 'raw', readOnly: true },
      { use: 'rootfs', name: 'again' },
    );
    await machine.detachDisk('again');
  }
  await assert.rejects(
    machine.attachDisk(
      { path: '/nonexistent.img', format: 'raw', readOnly: true },
      { use: 'rootfs', name: 'none' },
    ),
    (error) => isHyperError(error, 'machine'),
  );
  await assert.rejects(
    machine.attachDisk(
      { path: join(root, 'scratch.img'), format: 'raw', readOnly: true },
      { use: 'rootfs', name: 'no-squashfs' },
    ),
    (error) => isHyperError(error),
  );
  await machine.attachDisk(
    { path: join(root, 'rootfs.img'), format: 'raw', readOnly: true },
    { use: 'rootfs', name: 'again' },
  );
  await machine.stop();
});
