import { connect } from 'node:net';
import type { Client, Session } from '@hyperd/client';

/** Of the agent's protocol (draft-ietf-sshm-ssh-agent): what a build may ask. It can use keys, but neither add, remove nor lock any. */
const ALLOWED = new Set([11 /* REQUEST_IDENTITIES */, 13 /* SIGN_REQUEST */]);
const FAILURE = Buffer.from([0, 0, 0, 1, 5]);
const LENGTH_BYTES = 4;
const MAX_MESSAGE_BYTES = 256 * 1024;

/** Lets a build ask these agents until it is disposed of: there is a session open for each of them, and one more for each connection. */
export async function forwardSshAgents(
  client: Client,
  build: string,
  sockets: ReadonlyMap<string, string>,
): Promise<Disposable> {
  const open = new Set<Session>();
  let hasEnded = false;
  const forward = async (agent: string, socket: string): Promise<void> => {
    const session = await client.images.forwardAgent(build, agent);
    open.add(session);
    if (hasEnded) session.close();
    const isUsed = (): void => void forward(agent, socket).catch(() => undefined); // the build is over
    void serve(session, socket, isUsed)
      .catch(() => undefined) // the build's program sees that nobody answers
      .finally(() => {
        session.close();
        open.delete(session);
      });
  };
  const end = (): void => {
    hasEnded = true;
    for (const session of open) session.close();
  };
  try {
    for (const [agent, socket] of sockets) await forward(agent, socket);
  } catch (error) {
    end();
    throw error;
  }
  return { [Symbol.dispose]: end };
}

/** One connection of a program in the build: its requests one after the other, as the agent answers them. */
async function serve(session: Session, path: string, isUsed: () => void): Promise<void> {
  const agent = connect(path);
  agent.on('error', () => session.close()); // the program sees that nobody answers
  const answers = messages(agent as AsyncIterable<Uint8Array>);
  let hasBegun = false;
  try {
    for await (const request of messages(bytesOf(session))) {
      if (!hasBegun) isUsed();
      hasBegun = true;
      if (!ALLOWED.has(request[LENGTH_BYTES] ?? 0)) {
        session.input.write(FAILURE);
        continue;
      }
      agent.write(request);
      const { done, value } = await answers.next();
      if (done) return;
      session.input.write(value);
    }
  } finally {
    agent.destroy();
  }
}

async function* bytesOf({ output }: Session): AsyncGenerator<Uint8Array> {
  for await (const { bytes } of output) yield bytes;
}

/** Whole messages, their length in front. Throws for one that is too long. */
async function* messages(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let bytes = Buffer.alloc(0);
  for await (const chunk of source) {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length > LENGTH_BYTES) {
      const length = LENGTH_BYTES + bytes.readUInt32BE(0);
      if (length > MAX_MESSAGE_BYTES) throw new Error(`ssh agent: a message of ${length} bytes`);
      if (bytes.length < length) break;
      yield bytes.subarray(0, length);
      bytes = bytes.subarray(length);
    }
  }
}
