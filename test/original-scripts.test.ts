// What shell scripts made for the original's hyperctl do, with ours: ids cut out of its output, exit codes, tables read by columns.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type CommandResult, collect } from './support/daemon.ts';
import { busyboxLayer, layoutArchive } from './support/images.ts';
import { atStart, sharedDaemon } from './support/shared.ts';

const SCRIPT_TIMEOUT_MS = 120_000;
/** What the scripts share. */
const PRELUDE = String.raw`
set -eu
pod_of() { sed -ne "s/POD id is \(.*\)/\1/p"; }
has_image() {
  hyperctl images | while read -r name tag rest; do [ "$name $tag" = "$1 $2" ] && echo found; done | grep -q found
}
`;

const daemon = sharedDaemon();
atStart(async () => {
  const passwd = 'root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n';
  const accounts = [
    { name: 'etc', type: 'directory', mode: 0o755 },
    { name: 'etc/passwd', type: 'file', data: passwd },
    { name: 'etc/group', type: 'file', data: 'root:x:0:\nuser:x:1000:\nnobody:x:65534:\n' },
  ] as const;
  for (const [name, user] of [
    ['as-user', 'user'],
    ['as-group', 'nobody:nobody'],
  ] as const) {
    const archive = join(daemon.root, `${name}.tar`);
    const layers = [[...busyboxLayer(), ...accounts]];
    writeFileSync(archive, layoutArchive({ layers, config: { User: user, Cmd: ['sh'] }, ref: `${name}:1` }));
    const loaded = await daemon.hyperctl(['load', '-i', archive]);
    assert.equal(loaded.code, 0, loaded.stderr);
  }
});

/** Runs a script with `hyperctl` in its path, in a directory of the given pod files. */
async function script(text: string, pods: Readonly<Record<string, object>> = {}): Promise<CommandResult> {
  const directory = join(daemon.root, 'scripts');
  mkdirSync(directory, { recursive: true });
  for (const [name, pod] of Object.entries(pods)) writeFileSync(join(directory, name), JSON.stringify(pod));
  const env = {
    ...process.env,
    PATH: `${join(import.meta.dirname, '../bin')}:${process.env.PATH}`,
    HYPER_HOST: `unix://${daemon.socket}`,
    HOME: daemon.root,
  };
  return collect(spawn('sh', ['-c', PRELUDE + text], { cwd: directory, env, timeout: SCRIPT_TIMEOUT_MS }));
}

const CASES: readonly (readonly [what: string, text: string, pods?: Readonly<Record<string, object>>])[] = [
  ['hyperctl alone prints its help', 'hyperctl | grep -q Usage'],
  ['create without arguments fails', '! hyperctl create'],
  [
    'info has the lines of the original',
    `hyperctl info > info
     for line in Images Containers PODs 'Storage Driver' 'Hyper Root Dir' 'Index Server Address' \
         'Execution Driver' 'Total Memory' 'Operating System'; do grep -q "^$line: " info; done`,
  ],
  [
    'images are found by the first two columns; rmi removes one',
    `has_image busybox latest && has_image as-user 1
     hyperctl save -o copy.tar as-group:1
     hyperctl rmi as-group:1 | grep -Fx 'Image(as-group:1) is successful to be deleted!'
     ! has_image as-group 1
     hyperctl load -i copy.tar > /dev/null && has_image as-group 1`,
  ],
  [
    "the exit code of run is the command's",
    'set +e; hyperctl run --rm busybox sh -c "exit 17"; test $? -eq 17',
  ],
  [
    'a detached pod on a terminal can be removed',
    `id=$(hyperctl run -t -d busybox top | pod_of)
     hyperctl rm "$id" | grep -Fx "Pod($id) is successfully deleted!"`,
  ],
  [
    "a shell without terminal and client stays; the exit code of exec is the command's",
    `id=$(hyperctl run -d busybox /bin/sh | pod_of)
     set +e; hyperctl exec $id sh -c "exit 37"; code=$?; set -e
     hyperctl rm $id
     test $code -eq 37`,
  ],
  [
    'run -d tells the time it took',
    `hyperctl run -d --name timed busybox sleep 1000 | grep -E '^Time to run a POD is [0-9]+ ms$'
     hyperctl rm timed`,
  ],
  [
    'the host name is the one of the pod file; a bad one makes run fail',
    `test "$(hyperctl run --rm -a -p hostname.pod | tr -d '\\r')" = myname
     ! hyperctl run --rm -a -p long.pod
     ! hyperctl run --rm -a -p char.pod`,
    {
      'hostname.pod': hostnamePod('myname'),
      'long.pod': hostnamePod('a'.repeat(64)),
      'char.pod': hostnamePod('/myname'),
    },
  ],
  [
    'files are injected from the host, from text and from base64',
    `hyperctl run --rm -a -p files.pod | tr -d '\\r' > sums
     grep -qE "^$(md5sum < /etc/resolv.conf | cut -d ' ' -f 1) +resolv.conf$" sums
     grep -qE '^${md5('')} +empty$' sums
     grep -qE '^${md5('hello,\r\nhyper!\r\n')} +base64$' sums
     hyperctl run --rm -a -p corrupt.pod | grep -q '^5c9b82816aafe7b8c3b1aa910b736355 '`,
    {
      'files.pod': filesPod({ encoding: 'base64', content: 'aGVsbG8sDQpoeXBlciENCg==' }),
      'corrupt.pod': filesPod({ encoding: 'base64', content: 'VsbG8sDQpoeXBlciENCg=' }),
    },
  ],
  [
    'exec -m runs in the machine',
    `id=$(hyperctl run -d busybox /bin/sh | pod_of)
     test "$(hyperctl exec -m $id /sbin/busybox sh -c "echo aaa")" = aaa
     hyperctl rm $id`,
  ],
  [
    'a container of a stopped pod can be removed',
    `id=$(hyperctl run -d -p simple.pod | pod_of)
     hyperctl stop $id | grep -Fx "Successfully shutdown the POD: $id!"
     hyperctl rm -c simple-container | grep -Fx 'container simple-container is successfully deleted!'
     hyperctl rm $id`,
    {
      'simple.pod': {
        ...{ id: 'simple', resource: { vcpu: 1, memory: 128 }, files: [], volumes: [], tty: true },
        containers: [{ name: 'simple-container', image: 'busybox' }],
      },
    },
  ],
  [
    'the user of the image runs the container',
    `id=$(hyperctl run -d --env="TERM=xterm" as-user:1 | pod_of)
     hyperctl exec $id busybox ps aux | grep -q user
     hyperctl rm $id`,
  ],
  [
    'the user and group of the image run the container',
    `id=$(hyperctl run -d as-group:1 | pod_of)
     hyperctl exec $id busybox ps aux | grep -q nobody
     test "$(hyperctl exec $id id -g)" = 65534
     hyperctl rm $id`,
  ],
  [
    'the user of the pod file goes before that of the image',
    `id=$(hyperctl run -p user.pod | pod_of)
     case $id in pod-*) ;; *) exit 1 ;; esac
     hyperctl exec $id busybox ps aux | grep -q nobody
     hyperctl rm $id`,
    { 'user.pod': { containers: [{ image: 'as-user:1', user: { name: 'nobody' }, command: ['sh'] }] } },
  ],
  [
    'a shell on a terminal is stopped by force',
    `id=$(hyperctl run -d -p tty.pod | pod_of)
     hyperctl stop -c shell-with-tty
     hyperctl rm $id`,
    {
      'tty.pod': {
        ...{ id: 'killed', resource: { vcpu: 1, memory: 128 }, tty: true },
        containers: [{ name: 'shell-with-tty', image: 'busybox', command: ['/bin/sh'] }],
      },
    },
  ],
  [
    'a log without line feed is whole',
    `id=$(hyperctl run -d busybox echo -n foobar | pod_of)
     hyperctl wait $id
     test "$(hyperctl logs $id)" = foobar
     hyperctl rm $id`,
  ],
  [
    'a root file system that is read-only says so',
    `id=$(hyperctl run -p readonly.pod | pod_of)
     set +e; text=$(hyperctl exec $id touch /foobar 2>&1); set -e
     hyperctl rm $id
     echo "$text" | grep -q 'Read-only file system'`,
    {
      'readonly.pod': {
        containers: [{ name: 'fixed', image: 'busybox', command: ['/bin/sh'], readonly: true }],
      },
    },
  ],
  [
    'a pod with services runs',
    'hyperctl run --rm -a -p service.pod | grep -q PID',
    {
      'service.pod': {
        ...{ id: 'service', dns: ['8.8.8.8'], tty: true, type: 'pod' },
        containers: [{ image: 'busybox:latest', name: 'service', command: ['/bin/sh', '-c', 'ps', 'aux'] }],
        services: [
          {
            ...{ serviceip: '10.254.0.24', serviceport: 2834, protocol: 'TCP' },
            hosts: [{ hostip: '192.168.23.2', hostport: 2345 }],
          },
        ],
      },
    },
  ],
  [
    'create, start and list print the words that scripts look for',
    `hyperctl create --name made busybox sleep 1000 | grep -Fx 'Pod ID is made'
     hyperctl list | grep -E '^made +made +pending$'
     hyperctl start made | grep -Fx 'Successfully started the Pod(made)'
     hyperctl create -c made busybox sleep 1000 | grep -E '^Container ID is [0-9a-f]{64}$' > created
     id=$(sed 's/.* //' created)
     hyperctl start -c $id | grep -Fx "Successfully started container $id"
     hyperctl list container -p made -q | grep -Fx $id
     hyperctl list vm | grep -E '^vm-[A-Za-z]{10} +associated$'
     hyperctl rm made`,
  ],
  [
    'tables have the headers and the column width of the original',
    `hyperctl list | head -n 1 | grep -Fx 'POD ID              POD Name            VM name             Status'
     hyperctl list container | head -n 1 | grep -Fx 'Container ID        Name                POD ID              Status'
     hyperctl list -x vm | head -n 1 | grep -Fx 'VM name             Status'
     hyperctl images | head -n 1 | grep -E '^REPOSITORY +TAG +IMAGE ID +CREATED +VIRTUAL SIZE$'`,
  ],
  [
    'a machine is made, given to a pod, kept by it and ended',
    `vm=$(hyperctl vm -c 1 -m 128 | sed -ne "s/New VM id is \\(.*\\)/\\1/p")
     hyperctl list vm | grep -E "^$vm +idle$"
     hyperctl create --name guest busybox sleep 1000
     hyperctl start guest $vm
     hyperctl list | grep -E "^guest +guest +$vm +running$"
     hyperctl stop --onlypod guest
     hyperctl list vm | grep -E "^$vm +idle$"
     hyperctl vm rm $vm
     test -z "$(hyperctl list vm -q)"
     hyperctl rm guest`,
  ],
  [
    'a pod file may be YAML with keys in lower case',
    `printf 'id: yaml\nresource:\n  vcpu: 1\ncontainers:\n- image: busybox\n  restartpolicy: never\n  command: [echo, from yaml]\n' > plain
     test "$(hyperctl run --rm -a -y -p plain)" = 'from yaml'`,
  ],
];

for (const [what, text, pods] of CASES) {
  test(`scripts: ${what}`, async () => {
    const { code, stdout, stderr } = await script(text, pods);
    assert.equal(code, 0, `${stdout}${stderr}`);
    const left = await daemon.hyperctl(['list', '-q']);
    assert.equal(left.stdout, '', 'nothing is left');
  });
}

function hostnamePod(hostname: string): object {
  return {
    ...{ id: 'host-name-tester', hostname, resource: { vcpu: 1, memory: 128 }, volumes: [], tty: true },
    containers: [{ name: 'tester', image: 'busybox:latest', workdir: '/', command: ['hostname'] }],
  };
}

function filesPod(base64: object): object {
  return {
    ...{ id: 'files', resource: { vcpu: 1, memory: 128 }, volumes: [], tty: true },
    containers: [
      {
        ...{ name: 'file-tester', image: 'busybox:latest', workdir: '/' },
        command: ['/bin/sh', '-c', 'cd /root/test; md5sum resolv.conf empty base64'],
        files: [
          { path: '/root/test/', filename: 'resolv.conf', perm: '0600' },
          { path: '/root/test/empty', filename: 'nothing', perm: '0644', user: '1000', group: '1000' },
          { path: '/root/test/base64', filename: 'encoded', perm: '0755' },
        ],
      },
    ],
    files: [
      { name: 'resolv.conf', encoding: 'raw', uri: 'file:///etc/resolv.conf' },
      { name: 'nothing', encoding: 'raw', content: '' },
      { name: 'encoded', ...base64 },
    ],
  };
}

function md5(text: string): string {
  return createHash('md5').update(text).digest('hex');
}
