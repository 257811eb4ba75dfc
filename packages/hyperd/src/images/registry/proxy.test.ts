import assert from 'node:assert/strict';
import { test } from 'node:test';
import { proxyFor } from './proxy.ts';

const ENV = { HTTPS_PROXY: 'http://secure:1', HTTP_PROXY: 'plain:2' };

for (const [url, env, expected] of [
  ['https://a.example/', ENV, 'http://secure:1'],
  ['http://a.example/', ENV, 'http://plain:2'],
  ['http://a.example/', { HTTPS_PROXY: 'http://secure:1' }, undefined],
  ['https://a.example/', { https_proxy: 'https://lower:3' }, 'https://lower:3'],
  ['https://localhost:5000/', ENV, undefined],
  ['http://127.9.8.7/', ENV, undefined],
  ['http://[::1]:5000/', ENV, undefined],
  ['https://localhost.example/', ENV, 'http://secure:1'],
] as const) {
  test(`proxyFor() ${url} with ${JSON.stringify(env)} gives ${expected}`, () =>
    assert.equal(proxyFor(new URL(url), env)?.origin, expected));
}

for (const [list, exempt, proxied] of [
  [
    'example.com',
    ['https://example.com', 'https://a.example.com', 'https://EXAMPLE.com:444'],
    ['https://notexample.com', 'https://example.com.evil.net'],
  ],
  ['.example.com', ['https://a.example.com'], ['https://example.com']],
  ['*.example.com', ['https://a.example.com'], ['https://example.com']],
  ['*', ['https://anything.net', 'https://10.0.0.1'], []],
  ['a.com , b.com:8443', ['https://a.com', 'https://b.com:8443'], ['https://b.com', 'https://c.com']],
  ['10.0.0.0/8', ['https://10.1.2.3:5000'], ['https://11.0.0.1', 'https://ten.example']],
  ['192.168.0.7', ['https://192.168.0.7'], ['https://192.168.0.70']],
  ['192.168.0.7:5000', ['https://192.168.0.7:5000'], ['https://192.168.0.7']],
  ['fd00::/8', ['https://[fd00::1]:5000'], ['https://[fe80::1]']],
  ['fd00::1', ['https://[fd00::1]'], ['https://[fd00::2]']],
  ['[fd00::1]:5000', ['https://[fd00::1]:5000'], ['https://[fd00::1]']],
  ['10.0.0.0/99, /8, :80, ,', [], ['https://10.0.0.1', 'https://a.com']],
] as const) {
  test(`proxyFor() honours NO_PROXY "${list}"`, () => {
    const by = (url: string) => proxyFor(new URL(url), { ...ENV, no_proxy: list });
    for (const url of exempt) assert.equal(by(url), undefined, url);
    for (const url of proxied) assert.ok(by(url), url);
  });
}

test('proxyFor() refuses a proxy of another kind without telling its password', () => {
  assert.throws(
    () => proxyFor(new URL('https://a.com'), { HTTPS_PROXY: 'socks5://me:secret@x:1' }),
    (error: Error) => /HTTPS_PROXY/.test(error.message) && !error.message.includes('secret'),
  );
});
