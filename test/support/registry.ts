import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface TestRegistry extends AsyncDisposable {
  /** `localhost:PORT` */
  readonly host: string;
  /** Changes a byte of the largest blob of a repository on the registry's disk; returns the blob's digest. */
  damageLargestBlob(repository: string): string;
}

export interface TestRegistryOptions {
  /** Spoken to over TLS; with `clientAuthority` only by those who bear one of its certificates. Paths of PEM files. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly clientAuthority?: string };
  /** Asks for the login that `TEST_LOGIN` is. */
  readonly login?: boolean;
}

export const TEST_LOGIN = { username: 'tester', password: 'open sesame' };
const TEST_LOGIN_BCRYPT = '$2y$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW';

/** A real docker-registry on a free port of loopback, its storage in a temporary folder. */
export async function startRegistry({ tls, login }: TestRegistryOptions = {}): Promise<TestRegistry> {
  const storage = mkdtempSync(join(tmpdir(), 'hyr-'));
  const port = await freePort();
  const configuration = join(storage, 'registry.yml');
  writeFileSync(
    configuration,
    JSON.stringify({
      version: 0.1,
      log: { level: 'error' },
      storage: { filesystem: { rootdirectory: join(storage, 'data') } },
      http: {
        addr: `127.0.0.1:${port}`,
        ...(tls && {
          tls: {
            ...{ certificate: tls.certificate, key: tls.key },
            ...(tls.clientAuthority && { clientcas: [tls.clientAuthority] }),
          },
        }),
      },
      ...(login && { auth: { htpasswd: { realm: 'test "of" logins', path: join(storage, 'htpasswd') } } }),
    }),
  );
  if (login) writeFileSync(join(storage, 'htpasswd'), `${TEST_LOGIN.username}:${TEST_LOGIN_BCRYPT}\n`);
  const child = spawn('docker-registry', ['serve', configuration], { stdio: 'ignore' });
  const host = `localhost:${port}`;
  const blobs = join(storage, 'data/docker/registry/v2');
  const registry: TestRegistry = {
    host,
    damageLargestBlob(repository) {
      const layers = readdirSync(join(blobs, 'repositories', repository, '_layers/sha256'));
      const path = (hex: string): string => join(blobs, 'blobs/sha256', hex.slice(0, 2), hex, 'data');
      const [largest] = layers.sort((a, b) => statSync(path(b)).size - statSync(path(a)).size);
      if (!largest) throw new Error(`no layers of ${repository} in the registry`);
      const data = readFileSync(path(largest));
      const middle = Math.floor(data.length / 2);
      data[middle] = (data[middle] as number) ^ 0xff;
      writeFileSync(path(largest), data);
      return `sha256:${largest}`;
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null) {
        child.kill('SIGTERM');
        await once(child, 'exit');
      }
      rmSync(storage, { recursive: true, force: true });
    },
  };
  for (let tries = 0; tries < 200; tries++) {
    if (child.exitCode !== null) break;
    if (await listens(port)) return registry;
    await sleep(50);
  }
  await registry[Symbol.asyncDispose]();
  throw new Error('docker-registry does not answer');
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false; // not yet
  } finally {
    socket.destroy();
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (typeof address !== 'object' || !address) throw new Error('no free port');
  return address.port;
}
