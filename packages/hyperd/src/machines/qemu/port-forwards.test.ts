import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHyperError } from '../../errors.ts';
import type { PortForward } from '../../networks/port-forward.ts';
import { addForwardCommand, parseForwards, removeForwardCommand } from './port-forwards.ts';

const forward: PortForward = { protocol: 'udp', hostAddress: '127.0.0.1', hostPort: 53, guestPort: 5353 };

test('a forward is one command of the monitor, and its end another', () => {
  assert.equal(addForwardCommand(forward), 'hostfwd_add net0 udp:127.0.0.1:53-10.0.2.15:5353');
  assert.equal(removeForwardCommand(forward), 'hostfwd_remove net0 udp:127.0.0.1:53');
});

for (const change of [
  { protocol: 'tcp:0.0.0.0:1-:22 ' },
  { hostAddress: '' },
  { hostAddress: '127.0.0.1\nquit' },
  { hostAddress: '::1' },
  { hostPort: 0 },
  { hostPort: 65_536 },
  { guestPort: 1.5 },
  { guestPort: '22\nquit' },
]) {
  test(`nothing but ports and addresses gets into a command: ${JSON.stringify(change)}`, () => {
    assert.throws(
      () => addForwardCommand({ ...forward, ...change } as PortForward),
      (error) => isHyperError(error, 'internal'),
    );
  });
}

test('parseForwards() finds the forwards among the connections', () => {
  const text = [
    'Hub -1 (net0):',
    '  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ',
    '  TCP[ESTABLISHED]   15       127.0.0.1 18080       10.0.2.15    80     0     0',
    '  TCP[HOST_FORWARD]  13               * 18081       10.0.2.15    81     0     0',
    '  UDP[238 sec]       11       10.0.2.15 45678         9.9.9.9    53     0     0',
    '  UDP[HOST_FORWARD]  12       127.0.0.1    53       10.0.2.15  5353     0     0',
    '',
  ].join('\r\n');
  const all: PortForward = { protocol: 'tcp', hostAddress: '0.0.0.0', hostPort: 18_081, guestPort: 81 };
  assert.deepEqual(parseForwards(text), [all, forward]);
});
