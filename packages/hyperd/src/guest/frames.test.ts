import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  encodeFrame,
  FLUSH,
  FRAME_ACK,
  FRAME_CONTROL,
  FRAME_DATA,
  FrameDecoder,
  LARGEST_FRAME_BYTES,
  MAX_PAYLOAD_BYTES,
} from './frames.ts';

const frame = fc.record(
  {
    type: fc.constantFrom(FRAME_CONTROL, FRAME_DATA, FRAME_ACK),
    flags: fc.integer({ min: 0, max: 255 }),
    stream: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    offset: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    payload: fc.uint8Array({ maxLength: 300 }),
  },
  { noNullPrototype: true },
);
type Sample = typeof frame extends fc.Arbitrary<infer T> ? T : never;

const encode = ({ type, payload, ...head }: Sample): Buffer => encodeFrame(type, head, payload);

/** All frames of a stream that arrives in pieces. */
function decode(bytes: Buffer, cuts: readonly number[] = []): Sample[] {
  const decoder = new FrameDecoder();
  const found: Sample[] = [];
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let at = 0;
  for (const end of [...ends, bytes.length]) {
    for (const { payload, ...head } of decoder.push(bytes.subarray(at, end)))
      found.push({ ...head, payload: Uint8Array.from(payload) });
    at = end;
    assert.ok(decoder.pendingBytes < LARGEST_FRAME_BYTES, 'the decoder holds less than one frame');
  }
  return found;
}

test('frames come out as they went in, however the stream is cut', () => {
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.nat()), (frames, cuts) => {
      assert.deepEqual(decode(Buffer.concat(frames.map(encode)), cuts), frames);
    }),
  );
});

test('garbage before and between frames costs none of them', () => {
  const garbage = fc.uint8Array({ maxLength: 100 });
  fc.assert(
    fc.property(fc.array(fc.tuple(garbage, frame), { maxLength: 6 }), fc.array(fc.nat()), (parts, cuts) => {
      const bytes = Buffer.concat(parts.flatMap(([noise, sample]) => [Buffer.from(noise), encode(sample)]));
      assert.deepEqual(
        decode(bytes, cuts),
        parts.map(([, sample]) => sample),
      );
    }),
  );
});

test('a frame that was cut short costs only itself, once the flush has come', () => {
  fc.assert(
    fc.property(frame, fc.nat(), frame, (lost, cut, next) => {
      const whole = encode(lost);
      const bytes = Buffer.concat([whole.subarray(0, cut % whole.length), FLUSH, encode(next)]);
      assert.deepEqual(decode(bytes), [next]);
    }),
  );
});

test('a length beyond the limit is not waited for', () => {
  const bad = encodeFrame(FRAME_DATA, {}, new Uint8Array(4));
  bad.writeUInt32LE(MAX_PAYLOAD_BYTES + 1, 8);
  const good = { type: FRAME_ACK, flags: 0, stream: 5, offset: 7, payload: new Uint8Array() } as const;
  assert.deepEqual(decode(Buffer.concat([bad, encode(good)])), [good]);
});
