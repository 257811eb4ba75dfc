import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { OutputStream } from '../../guest/index.ts';
import type { LogOptions } from '../pod-service.ts';
import { decodeEntry, encodeEntry, type LogEntry } from './entry.ts';
import { LogWriter, MAX_LINE_BYTES } from './log-writer.ts';
import { type LogActivity, readLog } from './read-log.ts';
import { recoverLog } from './recover-log.ts';

const MAX_FILES = 3;
const ALL = { stdout: true, stderr: true, follow: false, signal: new AbortController().signal };
const never: LogActivity = { changed: () => Promise.resolve(), isOpen: () => false };

async function inDirectory(work: (path: string) => void | Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'log-'));
  try {
    await work(join(directory, 'c-json.log'));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function openWriter(path: string, maxSizeBytes = 1 << 20, maxFiles = MAX_FILES): LogWriter {
  return new LogWriter({
    ...{ path, offsets: recoverLog(path, maxFiles), maxSizeBytes, maxFiles },
    onDurable: () => undefined,
    onError: (error) => assert.fail(String(error)),
  });
}

async function read(path: string, options: Partial<LogOptions> = {}, activity = never) {
  const all = { ...ALL, ...options };
  const found: { stream: OutputStream; text: string }[] = [];
  for await (const { stream, bytes } of readLog(path, MAX_FILES, all, activity))
    found.push({ stream, text: bytes.toString('latin1') });
  return found;
}

const textOf = (entries: { stream: OutputStream; text: string }[], stream: OutputStream): string =>
  entries
    .filter((entry) => entry.stream === stream)
    .map(({ text }) => text)
    .join('');

test('whatever bytes in whatever pieces come out as they went in, a line an entry', () =>
  inDirectory(async (path) => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), async (chunks) => {
        rmSync(path, { force: true });
        const writer = openWriter(path);
        let end = 0;
        for (const chunk of chunks) {
          end += chunk.length;
          writer.append('stdout', chunk, end);
        }
        writer.close();
        const entries = await read(path);
        assert.equal(textOf(entries, 'stdout'), Buffer.concat(chunks).toString('latin1'));
        for (const { text } of entries.slice(0, -1)) assert.match(text, /^[^\n]*\n$/);
      }),
      { numRuns: 50 },
    );
  }));

test('runs of zero bytes are written as JSON has them, wherever they are and whatever is beside them', () => {
  const piece = fc.oneof(
    fc.constantFrom('\0', '\0'.repeat(31), '\0'.repeat(32), '\0'.repeat(5000)),
    fc.string({ unit: 'binary' }),
  );
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const text = pieces.join('');
      const entry = {
        stream: 'stdout' as const,
        time: '',
        bytes: Buffer.from(text),
        ends: { stdout: 0, stderr: 0 },
      };
      const line = encodeEntry(entry);
      assert.equal(line, `${JSON.stringify({ log: text, stream: 'stdout', time: '', ends: [0, 0] })}\n`);
    }),
  );
});

test('a crash at any byte loses and doubles nothing: the log says where each stream goes on', () =>
  inDirectory(async (path) => {
    const streams = {
      stdout: Buffer.alloc(3000, 'out line\nxy\u2028z\n'),
      stderr: Buffer.alloc(2000, 'e\xe9\n', 'latin1'),
    };
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 400 }), async (cut, step) => {
        rmSync(path, { force: true });
        write(path, streams, { stdout: 0, stderr: 0 }, step);
        truncateSync(path, cut % readFileSync(path).length);
        write(path, streams, recoverLog(path, MAX_FILES), step);
        const entries = await read(path);
        for (const stream of ['stdout', 'stderr'] as const)
          assert.equal(textOf(entries, stream), streams[stream].toString('latin1'));
      }),
      { numRuns: 40 },
    );
  }));

/** What the guest would send from these offsets on. */
function write(
  path: string,
  streams: Record<OutputStream, Buffer>,
  from: Record<OutputStream, number>,
  step: number,
): void {
  const writer = openWriter(path);
  for (const stream of ['stdout', 'stderr'] as const) {
    const bytes = streams[stream];
    for (let at = from[stream]; at < bytes.length; at += step) {
      const end = Math.min(bytes.length, at + step);
      writer.append(stream, bytes.subarray(at, end), end);
    }
  }
  writer.close();
}

test('files rotate at whole entries, the oldest go, and offsets are found in older files', () =>
  inDirectory(async (path) => {
    const writer = openWriter(path, 1000);
    writer.append('stderr', Buffer.from('first\n'), 6);
    for (let i = 1; i <= 30; i++) {
      writer.append('stdout', Buffer.from(`line ${i}\n`.padStart(20)), i * 20);
      await new Promise((resolve) => setImmediate(resolve));
    }
    writer.close();
    for (const name of [path, `${path}.1`, `${path}.2`])
      for (const line of readFileSync(name, 'utf8').trimEnd().split('\n')) assert.ok(decodeEntry(line), line);
    assert.throws(() => readFileSync(`${path}.3`));
    assert.equal(recoverLog(path, MAX_FILES).stdout, 600);
    assert.match((await read(path)).at(-1)?.text ?? '', /line 30\n/);
  }));

test('a line without end is written in parts, one without a line feed when its stream ends', () =>
  inDirectory(async (path) => {
    const writer = openWriter(path);
    const long = MAX_LINE_BYTES + 10;
    writer.append('stdout', Buffer.alloc(long, 'x'), long);
    assert.equal(writer.offsets().stdout, 0);
    writer.finish('stdout');
    writer.close();
    assert.deepEqual(
      (await read(path)).map(({ text }) => text.length),
      [MAX_LINE_BYTES, 10],
    );
  }));

test('an unfinished line is not written when the daemon lets go: the guest has it still', () =>
  inDirectory(async (path) => {
    const writer = openWriter(path);
    writer.append('stdout', Buffer.from('whole\nhalf'), 10);
    writer.release();
    assert.deepEqual(await read(path), [{ stream: 'stdout', text: 'whole\n' }]);
    assert.equal(recoverLog(path, MAX_FILES).stdout, 6);
  }));

test('tail gives the last lines of the chosen streams, since what came later', () =>
  inDirectory(async (path) => {
    const writer = openWriter(path);
    writer.append('stdout', Buffer.from('1\n2\n3\n'), 6);
    writer.append('stderr', Buffer.from('e\n'), 2);
    writer.close();
    const texts = async (options: Partial<LogOptions>) => (await read(path, options)).map(({ text }) => text);
    assert.deepEqual(await texts({ tail: 2, stderr: false }), ['2\n', '3\n']);
    assert.deepEqual(await texts({ tail: 0 }), []);
    assert.deepEqual(await texts({ since: new Date(Date.now() + 60_000) }), []);
    assert.deepEqual(await texts({ until: new Date(0) }), []);
    assert.deepEqual(await texts({ tail: 1, until: new Date(0) }), []);
    assert.deepEqual(
      (await texts({ until: new Date(Date.now() + 60_000) })).length,
      (await texts({})).length,
    );
  }));

for (const maxFiles of [1, 100]) {
  test(`a follower misses nothing over rotations with ${maxFiles} files, until the log is closed`, () =>
    inDirectory(async (path) => {
      let wake = Promise.withResolvers<void>();
      let isOpen = true;
      const notify = () => {
        wake.resolve();
        wake = Promise.withResolvers();
      };
      const activity: LogActivity = { changed: () => wake.promise, isOpen: () => isOpen };
      const writer = openWriter(path, 300, maxFiles);
      const seen: number[] = [];
      const follow = { ...ALL, follow: true };
      const following = (async () => {
        for await (const { bytes } of readLog(path, maxFiles, follow, activity)) seen.push(Number(bytes));
      })();
      for (let i = 1; i <= 60; i++) {
        writer.append('stdout', Buffer.from(`${i}\n`.padStart(4)), i * 4);
        await new Promise((resolve) => setImmediate(resolve));
        notify();
        // What is put away before it was read is lost with one file: its writer waits for the reader.
        while (maxFiles === 1 && seen.length < i) await new Promise((resolve) => setImmediate(resolve));
      }
      writer.close();
      isOpen = false;
      notify();
      await following;
      assert.deepEqual(
        seen,
        Array.from({ length: 60 }, (_, i) => i + 1),
      );
    }));
}

test('tail and since find the same from the end as reading all of it does, whatever the lines, over files', () =>
  inDirectory(async (path) => {
    const line = fc.record({
      stream: fc.constantFrom('stdout', 'stderr'),
      length: fc.constantFrom(0, 5, 300, 20_000),
    });
    const lines = fc.array(line, { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(lines, fc.nat(45), fc.nat(), async (written, tail, pick) => {
        for (let number = 0; number < MAX_FILES; number++)
          rmSync(number === 0 ? path : `${path}.${number}`, { force: true });
        const writer = openWriter(path, 30_000);
        const ends = { stdout: 0, stderr: 0 };
        for (const { stream, length } of written as { stream: OutputStream; length: number }[]) {
          ends[stream] += length + 1;
          writer.append(stream, Buffer.from(`${'"'.repeat(length)}\n`), ends[stream]);
          await new Promise((resolve) => setImmediate(resolve));
        }
        writer.close();
        const all = await read(path);
        assert.deepEqual(await read(path, { tail }), tail === 0 ? [] : all.slice(-tail));
        const onlyErrors = all.filter(({ stream }) => stream === 'stderr');
        assert.deepEqual(
          await read(path, { tail, stdout: false }),
          tail === 0 ? [] : onlyErrors.slice(-tail),
        );
        const entries: LogEntry[] = [];
        for await (const entry of readLog(path, MAX_FILES, ALL, never)) entries.push(entry);
        const since = new Date(Date.parse(entries[pick % (entries.length || 1)]?.time ?? '2026-01-01'));
        const late = entries.filter(({ time }) => Date.parse(time) >= since.getTime());
        assert.equal((await read(path, { since })).length, late.length);
      }),
      { numRuns: 30 },
    );
  }));

test('a log of nothing but damage is read as empty', () => {
  fc.assert(
    fc.property(fc.string(), (line) => {
      decodeEntry(line);
    }),
  );
  assert.equal(decodeEntry('{"log":1,"stream":"stdout","time":"x","offset":1}'), undefined);
});
