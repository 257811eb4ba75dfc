import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COMMANDS } from '../commands.ts';
import { complete, type Names } from './complete.ts';
import { operandKinds } from './kinds.ts';

const NAMES = {
  pod: ['web', 'db'],
  container: ['web-c', 'db-c', 'bad name', 'esc\x1b[2J'],
  image: ['busybox:latest', 'localhost:5000/app:1'],
  machine: ['vm-abc'],
};
let askedHost: string | undefined;
const names: Names = async (kind, host) => {
  askedHost = host;
  return NAMES[kind];
};

async function texts(...words: string[]): Promise<string[]> {
  const { candidates, files } = await complete(words, names);
  return [...candidates.map(({ text }) => text), ...(files ? [':files'] : [])];
}

for (const [words, expected] of [
  [['lis'], ['list']],
  [['un'], ['unpause']],
  [['--ho'], ['--host']],
  [['--host', 'u'], ['unix://']],
  [['--host=t'], ['--host=tcp://']],
  [['help', 'expo'], []],
  [['help', 'even'], ['events']],
  [['nonesuch', ''], []],
  [
    ['list', ''],
    ['pod', 'container', 'vm'],
  ],
  [['list', '--qu'], ['--quiet']],
  [
    ['list', '-p', ''],
    ['web', 'db'],
  ],
  [['list', '--pod', 'w'], ['web']],
  [['list', '--pod=w'], ['--pod=web']],
  [['list', '-qp', 'd'], ['db']],
  [['list', '--vm', ''], ['vm-abc']],
  [
    ['list', '--format', ''],
    ['table', 'json'],
  ],
  [['list', 'pod', ''], []],
  [
    ['stop', ''],
    ['web', 'db', 'web-c', 'db-c'],
  ],
  [
    ['stop', 'web', 'd'],
    ['db', 'db-c'],
  ],
  [['stats', 'web', 'd'], ['db']],
  [['pause', 'web', ''], []],
  [['logs', 'web-'], ['web-c']],
  [['logs', '--tail', '5', 'db-'], ['db-c']],
  [['run', 'loc'], ['localhost:5000/app:1']],
  [['run', '--rm', 'busybox:latest', '--'], []],
  [['run', 'busybox', 'ls', '--fo'], []],
  [['run', '--podfile', ''], [':files']],
  [['run', '--restart', 'on'], ['onFailure']],
  [['create', 'w'], ['web']],
  [['create', 'b'], ['busybox:latest']],
  [['exec', '-t', 'web-c', ''], []],
  [
    ['kill', '-s', 'US'],
    ['USR1', 'USR2'],
  ],
  [
    ['cp', 'web-'],
    ['web-c:', ':files'],
  ],
  [
    ['cp', './here', 'web-'],
    ['web-c:', ':files'],
  ],
  [['rmi', 'busybox:latest', 'loc'], ['localhost:5000/app:1']],
  [['inspect', 'b'], ['busybox:latest']],
  [
    ['ports', ''],
    ['ls', 'add', 'delete'],
  ],
  [['ports', 'ls', 'w'], ['web']],
  [['completion', 'z'], ['zsh']],
  [['list', '--', '-'], []],
] as const) {
  test(`"${words.join(' ')}" goes on with ${expected.join(', ') || 'nothing'}`, async () => {
    assert.deepEqual(await texts(...words), expected);
  });
}

test('names come from the daemon that the line gives', async () => {
  for (const words of [
    ['-H', 'tcp://h:1', 'stop', ''],
    ['--host=tcp://h:1', 'stop', ''],
    ['-Htcp://h:1', 'stop', ''],
  ]) {
    askedHost = undefined;
    await texts(...words);
    assert.equal(askedHost, 'tcp://h:1');
  }
});

test('without a daemon there are no names, and no error', async () => {
  const { candidates } = await complete(['stop', ''], () => Promise.reject(new Error('nobody answers')));
  assert.deepEqual(candidates, []);
});

for (const entry of COMMANDS) {
  test(`${entry.name}: every option of it is offered, and its operands are understood`, async () => {
    const { command } = await entry.load();
    const offered = await texts(entry.name, '--');
    for (const { name } of command.options) assert.ok(offered.includes(`--${name}`), name);
    const takesNames = /\b(POD|CONTAINER|IMAGE)\b/.test(command.operands);
    assert.equal(
      takesNames && operandKinds(command, 0).length + operandKinds(command, 1).length === 0,
      false,
    );
  });
}
