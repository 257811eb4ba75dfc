import { createWriteStream } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';

/** A socket whose first connection's bytes become a file. Disposing ends it, whole or not. */
export interface FileReceiver extends AsyncDisposable {
  readonly socketPath: string;
  /** Resolves when the connection has ended and all its bytes are in the file. */
  readonly received: Promise<void>;
}

export async function receiveFile(socketPath: string, file: string): Promise<FileReceiver> {
  const done = Promise.withResolvers<void>();
  done.promise.catch(() => undefined); // told to whoever awaits `received`
  let connection: Socket | undefined;
  const server = createServer((socket) => {
    server.close();
    connection = socket;
    pipeline(socket, createWriteStream(file, { mode: 0o600 })).then(done.resolve, done.reject);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, resolve);
  });
  return {
    socketPath,
    received: done.promise,
    async [Symbol.asyncDispose]() {
      connection?.destroy();
      server.close();
    },
  };
}
