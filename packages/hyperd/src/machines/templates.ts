import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HyperError, messageOf } from '../errors.ts';
import type { ConnectAgent, GuestAgent } from '../guest/index.ts';
import type { Logger } from '../logger.ts';
import type { Vm, VmDriver, VmHardware } from './driver.ts';
import type { MachineUser } from './machine-users.ts';
import { bareStage, type Stage } from './rehearsal.ts';

export interface TemplateOptions {
  readonly directory: string;
  readonly driver: VmDriver;
  readonly connectAgent: ConnectAgent;
  readonly logger: Logger;
  readonly bootTimeoutMs: number;
  /** Whom machines run as that become templates. */
  readonly user?: MachineUser | undefined;
  /**
   * What a machine does before it is saved, so that its clones need not do it for the first time. It leaves nothing plugged and nothing running; `directory`
   * is the machine's own. A template is made without where it fails, or where somebody waits.
   */
  readonly rehearse?: (stage: Stage, directory: string) => Promise<void>;
}

export interface Templates {
  /**
   * Directory of the template for this hardware, made when missing; concurrent callers share one making. One that is made `ahead`, while nobody waits for
   * it, is rehearsed. Rejects `machine`.
   */
  get(hardware: VmHardware, how?: { readonly ahead: boolean }): Promise<string>;
  /** Throws a template away that turned out to be of no use. */
  discard(hardware: VmHardware): Promise<void>;
  /** Removes templates of other kernels, hypervisors or versions, and drafts of a crash. */
  tidy(): Promise<void>;
}

/** The guest tells which memory it has freed, and clears up behind a rehearsal, 2 s late: what the template has behind it no clone does. */
const SETTLE_MS = 2_500;

type Preparation = (vm: Vm, agent: GuestAgent) => Promise<void>;

interface Making {
  readonly made: Promise<string>;
  /** Aborted once somebody waits for it. */
  readonly awaited: AbortController;
}

/** Machine templates in `directory`: a booted guest's memory and state, to be cloned instead of booted. */
export function createTemplates({
  directory,
  driver,
  connectAgent,
  logger,
  bootTimeoutMs,
  user,
  rehearse,
}: TemplateOptions): Templates {
  const making = new Map<string, Making>();

  async function nameOf({ vcpus, ramMib }: VmHardware): Promise<string> {
    return `${await driver.templateKey()}-${vcpus}x${ramMib}`;
  }

  async function make(hardware: VmHardware, path: string, awaited: AbortSignal): Promise<string> {
    if (await isDirectory(path)) return path;
    const startedAt = Date.now();
    const draft = `${path}.tmp`;
    try {
      const isRehearsed = await makeDraft(hardware, draft, awaited);
      await rename(draft, path);
      logger.info({ template: path, ms: Date.now() - startedAt, isRehearsed }, 'machine template made');
      return path;
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
  }

  /** Says whether it is rehearsed. What a rehearsal that failed has left of a machine is of no use. */
  async function makeDraft(hardware: VmHardware, draft: string, awaited: AbortSignal): Promise<boolean> {
    let isRehearsed = false;
    if (rehearse) {
      try {
        await bootAndSave(hardware, draft, async (vm, agent) => {
          if (awaited.aborted) return;
          // Containers cannot be without one. Each clone is given its own, and no network before that, of which something would stay.
          await agent.configure({ hostname: 'template', machineId: randomBytes(16).toString('hex') });
          await rehearse(bareStage(vm, agent), draft);
          isRehearsed = true;
          await sleep(SETTLE_MS, undefined, { signal: awaited }).catch(() => undefined); // somebody waits
        });
        return isRehearsed;
      } catch (error) {
        if (!(error instanceof RehearsalError)) throw error;
        logger.warn({ err: error.cause }, 'rehearse for a machine template; it is made without');
      }
    }
    await bootAndSave(hardware, draft, async () => undefined);
    return false;
  }

  async function bootAndSave(hardware: VmHardware, draft: string, prepare: Preparation): Promise<void> {
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft, { recursive: true, mode: 0o700 });
    const vm = await driver.bootForTemplate({ directory: draft, hardware, user }, draft);
    try {
      await prepareGuest(vm, prepare);
      await driver.saveTemplate(vm, draft);
    } catch (error) {
      if (error instanceof RehearsalError) throw error;
      const tail = await vm.consoleTail();
      throw new HyperError(
        'machine',
        `boot template machine: ${messageOf(error)}${tail && `; its console ended with:\n${tail}`}`,
        { cause: error },
      );
    } finally {
      await vm.kill();
    }
  }

  /** Waits for the agent, and lets go of it again: its port must be free. */
  async function prepareGuest(vm: Vm, prepare: Preparation): Promise<void> {
    const port = await vm.connectAgentPort();
    const agent = await connectAgent(port, { handshakeTimeoutMs: bootTimeoutMs });
    try {
      await prepare(vm, agent);
    } catch (error) {
      throw new RehearsalError('rehearse for a machine template', { cause: error });
    } finally {
      await agent[Symbol.asyncDispose]();
    }
  }

  return {
    async get(hardware, { ahead } = { ahead: false }) {
      const path = join(directory, await nameOf(hardware));
      let under = making.get(path);
      if (!under) {
        const awaited = new AbortController();
        const made = make(hardware, path, awaited.signal).finally(() => making.delete(path));
        under = { made, awaited };
        making.set(path, under);
      }
      if (!ahead) under.awaited.abort();
      return under.made;
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

class RehearsalError extends Error {}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
