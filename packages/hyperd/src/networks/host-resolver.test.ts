import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseResolvConf } from './host-resolver.ts';

test('parseResolvConf() takes the last search list and all options, and no comment', () => {
  const text =
    '# search none\ndomain a.example\nnameserver 127.0.0.53\nsearch b.example  c.example ; d\noptions ndots:2\n';
  assert.deepEqual(parseResolvConf(`${text}options edns0 trust-ad`), {
    ...{ search: ['b.example', 'c.example'], options: ['ndots:2', 'edns0', 'trust-ad'] },
  });
  assert.deepEqual(parseResolvConf(''), { search: [], options: [] });
});
