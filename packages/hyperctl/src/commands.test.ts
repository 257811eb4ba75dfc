import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COMMANDS } from './commands.ts';
import { commandHelp, HELP_OPTION } from './help.ts';

for (const entry of COMMANDS) {
  test(`${entry.name}: the table agrees with the command, and its help explains every option once`, async () => {
    const { command } = await entry.load();
    assert.deepEqual([command.name, command.summary], [entry.name, entry.summary]);
    const options = [...command.options, HELP_OPTION];
    const names = options.flatMap(({ name, short }) => [`--${name}`, ...(short ? [`-${short}`] : [])]);
    assert.equal(new Set(names).size, names.length, 'no option name is used twice');
    const help = commandHelp(command);
    for (const { name, help: text } of options) {
      assert.ok(help.includes(`--${name}`) && help.includes(text) && text !== '');
    }
  });
}
