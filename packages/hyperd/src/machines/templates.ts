import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError } from '../errors.ts';
import type { ConnectAgent } from '../guest/index.ts';
import type { Logger } from '../logger.ts';
import type { VmDriver, VmHardware } from './driver.ts';
import type { MachineUser } from './machine-users.ts';

export interface TemplateOptions {
  readonly directory: string;
  readonly driver: VmDriver;
  readonly connectAgent: ConnectAgent;
  readonly logger: Logger;
  readonly bootTimeoutMs: number;
  /** Whom machines run as that become templates. */
  readonly user?: MachineUser | undefined;
}

export interface Templates {
  /** Directory of the template for this hardware, made when missing; concurrent callers share one making. Rejects `machine`. */
  get(hardware: VmHardware): Promise<string>;
  /** Throws a template away that turned out to be of no use. */
  discard(hardware: VmHardware): Promise<void>;
  /** Removes templates of other kernels, hypervisors or versions, and drafts of a crash. */
  tidy(): Promise<void>;
}

/** Machine templates in `directory`: a booted guest's memory and state, to be cloned instead of booted. */
export function createTemplates({
  directory,
  driver,
  connectAgent,
  logger,
  bootTimeoutMs,
  user,
}: TemplateOptions): Templates {
  const making = new Map<string, Promise<string>>();

  async function nameOf({ vcpus, ramMib }: VmHardware): Promise<string> {
    return `${await driver.templateKey()}-${vcpus}x${ramMib}`;
  }

  async function make(hardware: VmHardware, path: string): Promise<string> {
    if (await isDirectory(path)) return path;
    const startedAt = Date.now();
    const draft = `${path}.tmp`;
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft, { recursive: true, mode: 0o700 });
    try {
      await bootAndSave(hardware, draft);
      await rename(draft, path);
      logger.info({ template: path, ms: Date.now() - startedAt }, 'machine template made');
      return path;
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
  }

  async function bootAndSave(hardware: VmHardware, draft: string): Promise<void> {
    const vm = await driver.bootForTemplate({ directory: draft, hardware, user }, draft);
    try {
      const port = await vm.connectAgentPort();
      const agent = await connectAgent(port, { handshakeTimeoutMs: bootTimeoutMs });
      await agent[Symbol.asyncDispose]();
      await driver.saveTemplate(vm, draft);
    } catch (error) {
      const tail = await vm.consoleTail();
      throw new HyperError(
        'machine',
        `boot template machine: ${error instanceof Error ? error.message : String(error)}${tail && `; its console ended with:\n${tail}`}`,
        { cause: error },
      );
    } finally {
      await vm.kill();
    }
  }

  return {
    async get(hardware) {
      const path = join(directory, await nameOf(hardware));
      let made = making.get(path);
      if (!made) {
        made = make(hardware, path).finally(() => making.delete(path));
        making.set(path, made);
      }
      return made;
    },
    async discard(hardware) {
      await rm(join(directory, await nameOf(hardware)), { recursive: true, force: true });
    },
    async tidy() {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const key = await driver.templateKey();
      for (const name of await readdir(directory)) {
        if (name.startsWith(`${key}-`) && !name.endsWith('.tmp')) continue;
        await rm(join(directory, name), { recursive: true, force: true });
      }
    },
  };
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
