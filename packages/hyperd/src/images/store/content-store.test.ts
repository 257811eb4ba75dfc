import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isHyperError } from '../../errors.ts';
import { digestOf } from '../digest.ts';
import { openContentStore } from './content-store.ts';

async function inStore(
  work: (store: Awaited<ReturnType<typeof openContentStore>>, root: string) => Promise<void>,
) {
  const root = mkdtempSync(join(tmpdir(), 'store-'));
  try {
    await work(await openContentStore(root), root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

const bytes = Buffer.from('some content');
const digest = digestOf(bytes);

test('a blob is there once it is whole, and not before', () =>
  inStore(async (store) => {
    await using draft = await store.draft(digest);
    await draft.append(bytes.subarray(0, 4));
    assert.equal(await store.has(digest), false);
    await draft.append(bytes.subarray(4));
    await draft.commit();
    assert.deepEqual(await store.read(digest, 100), bytes);
    assert.deepEqual(await store.list(), [digest]);
  }));

test('other bytes than the digest says are refused, naming both, and leave nothing', () =>
  inStore(async (store) => {
    await assert.rejects(
      store.write(digest, Buffer.from('other')),
      (error) => isHyperError(error, 'corrupt') && error.message.includes(`expected ${digest}, got sha256:`),
    );
    assert.equal(await store.has(digest), false);
    assert.deepEqual(readdirSync(store.temporary), []);
  }));

test('a draft that starts over forgets what it had', () =>
  inStore(async (store) => {
    await using draft = await store.draft(digest);
    await draft.append(Buffer.from('wrong, and longer than the right one'));
    await draft.reset();
    await draft.append(bytes);
    await draft.commit();
    assert.deepEqual(await store.read(digest, 100), bytes);
  }));

test('what a crash left half-written is gone when the store is opened again', () =>
  inStore(async (store, root) => {
    writeFileSync(join(store.temporary, 'blob-1'), 'half');
    await openContentStore(root);
    assert.deepEqual(readdirSync(store.temporary), []);
  }));

test('a bound on what is read is kept, and a missing blob is named', () =>
  inStore(async (store) => {
    await store.write(digest, bytes);
    await assert.rejects(store.read(digest, 3), (error) => isHyperError(error, 'limit'));
    const missing = digestOf(Buffer.from('missing'));
    await assert.rejects(
      store.read(missing, 3),
      (error) => isHyperError(error, 'not-found') && error.message.includes(missing),
    );
  }));
