const CTRL_P = 0x10;
const CTRL_Q = 0x11;

/**
 * The input of an attached terminal up to the keys Ctrl-P Ctrl-Q, which are not passed on: `onDetach` is called and the input ends.
 * A Ctrl-P is held back until the next byte shows that it was meant for the program.
 */
export async function* untilDetachKeys(
  input: AsyncIterable<Uint8Array>,
  onDetach: () => void,
): AsyncGenerator<Uint8Array> {
  let held = false;
  for await (const chunk of input) {
    const bytes: Buffer = held ? Buffer.concat([Buffer.of(CTRL_P), chunk]) : Buffer.from(chunk);
    const keys = bytes.indexOf(Buffer.of(CTRL_P, CTRL_Q));
    if (keys >= 0) {
      if (keys > 0) yield bytes.subarray(0, keys);
      onDetach();
      return;
    }
    held = bytes.at(-1) === CTRL_P;
    const passed = held ? bytes.subarray(0, -1) : bytes;
    if (passed.length > 0) yield passed;
  }
  if (held) yield Buffer.of(CTRL_P);
}
