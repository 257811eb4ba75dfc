import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { COMMANDS } from '../packages/hyperctl/src/commands.ts';

/** The page as a reader sees it. */
function rendered(name: string): string {
  const path = join(import.meta.dirname, '../docs/man', name);
  const { stdout, stderr } = spawnSync('groff', ['-man', '-Tascii', '-P-c', '-P-b', '-P-u', '-ww', path], {
    encoding: 'utf8',
  });
  assert.equal(stderr, '', 'roff has nothing to complain of');
  return stdout;
}

test('hyperctl(1) explains every command and every option', async () => {
  const page = rendered('hyperctl.1').replaceAll(/\s+/g, ' ');
  for (const entry of COMMANDS) {
    const { command } = await entry.load();
    assert.ok(page.includes(`hyperctl ${command.name} [OPTIONS]`), command.name);
    for (const { name } of command.options)
      assert.ok(page.includes(`--${name}`), `${command.name} --${name}`);
  }
});

test('hyperd(8) explains flags with all their lines, and the configuration file', () => {
  const page = rendered('hyperd.8').replaceAll(/\s+/g, ' ');
  for (const text of [
    '--root DIR',
    'else hyper.sock in $XDG_RUNTIME_DIR)',
    '-h, --help',
    'registrymirror',
    '[log] podlogprefix',
  ])
    assert.ok(page.includes(text), text);
});
