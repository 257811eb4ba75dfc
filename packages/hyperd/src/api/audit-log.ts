import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';
import type { ClientIdentity } from './access.ts';
import type { Call, Route } from './call.ts';

const MAX_BYTES = 10 * 1024 * 1024;
const MAX_FILES = 5;
const MAX_VALUE_LENGTH = 200;
/** Parameters that name things. Others may hold secrets: commands, build arguments, Dockerfile instructions. */
const SHOWN = [
  ...['podId', 'podName', 'podID', 'pod', 'id', 'action', 'container', 'oldName', 'oleName', 'newName'],
  ...['exec', 'vm', 'vmId', 'imageName', 'imageId', 'image', 'name', 't', 'repo', 'tag', 'remote', 'fromSrc'],
  ...['network', 'volume', 'signal', 'target', 'path'],
];

/** A call that has ended, or has been refused. */
export interface AuditEntry {
  readonly client: ClientIdentity;
  readonly route: Route;
  /** Undefined where it could not be read. */
  readonly call: Pick<Call, 'parameters' | 'json'> | undefined;
  /** `done`, or the code of the error. */
  readonly outcome: string;
  readonly durationMs: number;
}

/**
 * Who asked for what: one JSON object a line, in `path` (mode 0600), which is put aside as `path.1` and so on when it is 10 MiB long; five files are kept.
 * Holds what is named: pods, containers, images; no bodies, headers, commands or passwords in URLs.
 */
export class AuditLog implements Disposable {
  readonly #path: string;
  #file: number;
  #bytes: number;
  #isOpen = true;

  /** Throws what `open` of the file throws. */
  constructor(path: string) {
    this.#path = path;
    this.#file = openSync(path, 'a', 0o600);
    this.#bytes = fstatSync(this.#file).size;
  }

  /** Throws what writing the file throws. */
  write(entry: AuditEntry): void {
    if (!this.#isOpen) return; // a session that outlived the server's grace
    const line = Buffer.from(`${JSON.stringify(recordOf(entry))}\n`);
    if (this.#bytes + line.length > MAX_BYTES) this.#rotate();
    this.#bytes += writeSync(this.#file, line);
  }

  /** Repeatable. */
  [Symbol.dispose](): void {
    if (this.#isOpen) closeSync(this.#file);
    this.#isOpen = false;
  }

  #rotate(): void {
    for (let index = MAX_FILES - 1; index > 0; index--) {
      try {
        renameSync(index === 1 ? this.#path : `${this.#path}.${index - 1}`, `${this.#path}.${index}`);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
    closeSync(this.#file);
    this.#file = openSync(this.#path, 'a', 0o600);
    this.#bytes = 0;
  }
}

function recordOf({ client, route, call, outcome, durationMs }: AuditEntry): Record<string, unknown> {
  return {
    ...{ time: new Date().toISOString(), client: client.name, by: client.kind },
    ...{ call: `${route.method} ${route.path}`, outcome, ms: Math.round(durationMs) },
    about: call && namesIn(call),
  };
}

function namesIn({ parameters, json }: Pick<Call, 'parameters' | 'json'>): Record<string, string> {
  const given = SHOWN.map((name) => [name, parameters.given(name)] as const);
  const inBody = ['id', 'name', 'image'].map((name) => [
    name,
    (json as Record<string, unknown> | null)?.[name],
  ]);
  const shown: Record<string, string> = {};
  for (const [name = '', value] of [...inBody, ...given] as [string, unknown][])
    if (typeof value === 'string' && value !== '')
      shown[name] = withoutPassword(value).slice(0, MAX_VALUE_LENGTH);
  return shown;
}

function withoutPassword(value: string): string {
  return value.replace(/^(\w+:\/\/)[^/@]*@/, '$1***@');
}
