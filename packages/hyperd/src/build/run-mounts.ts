import { posix } from 'node:path';
import { HyperError } from '../errors.ts';
import type { GuestBind, InjectedFile } from '../guest/index.ts';
import { chainIdOf } from '../images/digest.ts';
import { emptyRoot } from '../images/layers/tree.ts';
import type { BuildMachine } from './build-machine.ts';
import type { BuildScope } from './build-scope.ts';
import { cacheBind } from './cache-mount.ts';
import { sourceNamed } from './copy-step.ts';
import type { Mount } from './dockerfile/instruction.ts';
import { TreeChanges } from './files/tree-changes.ts';
import { TreeCopy } from './files/tree-copy.ts';
import { TreeDigests } from './files/tree-digest.ts';
import { bytesOf, namesOf, resolvePath } from './files/tree-path.ts';
import { idOf, isTrue, modeOf, sizeOf } from './mount-fields.ts';
import { sshBind, sshTarget } from './ssh-mount.ts';

/** What the mounts of one RUN come to in its machine. */
export interface PreparedMounts extends AsyncDisposable {
  readonly binds: readonly GuestBind[];
  readonly files: readonly InjectedFile[];
  readonly env: readonly string[];
  /** Variables where the step has none of that name. */
  readonly defaults: readonly string[];
}

/** A longer secret does not go with the call that starts the step. */
const MAX_INJECTED_BYTES = 4096;
const ROOT = { uid: 0, gid: 0 };

/** The `--mount` options of one RUN, variables expanded. */
export class RunMounts {
  readonly #scope: BuildScope;
  readonly #mounts: readonly Mount[];
  readonly #stage: number;
  readonly #workingDirectory: string;

  constructor(scope: BuildScope, mounts: readonly Mount[], stage: number, workingDirectory: string) {
    this.#scope = scope;
    this.#mounts = mounts;
    this.#stage = stage;
    this.#workingDirectory = workingDirectory;
  }

  /** What a step's result depends on in them: bound content, but neither secrets nor caches. */
  async key(): Promise<unknown[]> {
    const keys: unknown[] = [];
    for (const { type, fields } of this.#mounts) {
      const from = fields.get('from');
      if (type !== 'bind') keys.push([type, [...fields]]);
      else if (from === undefined)
        keys.push([type, [...fields], await this.#contextDigest(fields.get('source') ?? '/')]);
      else {
        const { layers } = await sourceNamed(this.#scope, from, this.#stage);
        keys.push([type, [...fields], chainIdOf(layers.map(({ diffId }) => diffId))]);
      }
    }
    return keys;
  }

  /** Brings what they need into the machine; disposing gives caches back. */
  async prepare(machine: BuildMachine): Promise<PreparedMounts> {
    const binds: GuestBind[] = [];
    const files: InjectedFile[] = [];
    const env: string[] = [];
    const undo: (() => Promise<void>)[] = [];
    const release = async (): Promise<void> => {
      for (const work of undo.splice(0).reverse()) await work();
    };
    try {
      for (const mount of this.#mounts) {
        if (mount.type === 'bind') binds.push(await this.#bind(mount, machine));
        else if (mount.type === 'tmpfs') binds.push(this.#tmpfs(mount));
        else if (mount.type === 'cache') {
          const target = this.#target(mount.fields);
          binds.push(await cacheBind(this.#scope, this.#stage, mount, target, machine, undo));
        } else if (mount.type === 'secret') await this.#secret(mount, machine, { binds, files, env, undo });
        else {
          const bind = await this.#ssh(mount, machine, undo);
          if (bind) binds.push(bind);
        }
      }
      const [ssh] = this.#mounts.filter(({ type }) => type === 'ssh');
      const defaults = ssh ? [`SSH_AUTH_SOCK=${sshTarget(ssh, 0, this.#workingDirectory)}`] : [];
      return { binds, files, env, defaults, [Symbol.asyncDispose]: release };
    } catch (error) {
      await release();
      throw error;
    }
  }

  async #contextDigest(source: string): Promise<string> {
    const { node } = resolvePath(this.#scope.context, bytesOf(source), { followLast: true });
    if (!node) throw new HyperError('not-found', `failed to compute cache key: "${source}": not found`);
    return new TreeDigests(this.#scope.assembly.contents, { withOwners: false }).of(node, 'f', undefined);
  }

  async #bind({ fields }: Mount, machine: BuildMachine): Promise<GuestBind> {
    const { assembly } = this.#scope;
    const target = this.#target(fields);
    const from = fields.get('from');
    const source = fields.get('source') ?? '/';
    const writable = isTrue(fields.get('readwrite'));
    if (from === undefined) {
      const disk = await machine.addDisk(await this.#contextDisk(source));
      return { source: `${disk}/c`, target, ...(writable ? { discard: true } : { readOnly: true }) };
    }
    const { layers, tree } = await sourceNamed(this.#scope, from, this.#stage);
    const place = resolvePath(await tree(), bytesOf(source), { followLast: true });
    if (!place.node) throw new HyperError('not-found', `RUN --mount: "${source}" of ${from}: not found`);
    const disk = await machine.addDisk(await assembly.rootfs(layers, this.#scope.signal));
    return {
      source: `${disk}/${source.replace(/^\/+/, '')}`,
      target,
      ...(writable ? { discard: true } : { readOnly: true }),
    };
  }

  /** A disk that has a part of the context as `/c`. */
  async #contextDisk(source: string) {
    const { assembly, context, signal } = this.#scope;
    const { path, node } = resolvePath(context, bytesOf(source), { followLast: true });
    if (!node) throw new HyperError('not-found', `RUN --mount: "${source}": not found`);
    const changes = new TreeChanges(emptyRoot(), 0);
    const rules = {
      owner: ROOT,
      parentOwner: ROOT,
      mode: undefined,
      exclude: undefined,
      parents: false,
      literal: true,
    };
    new TreeCopy(changes, rules).copy({ path, node, name: 'c' }, 'c');
    const diffId = await assembly.takeContents(changes.tar(assembly.contents), 'build context');
    const layer = {
      diffId,
      tarBytes: 0,
      isEmpty: false,
      blob: Promise.reject(new HyperError('internal', 'it has no blob')),
    };
    layer.blob.catch(() => undefined); // nobody asks
    return assembly.rootfs([layer], signal);
  }

  #tmpfs({ fields }: Mount): GuestBind {
    const size = fields.get('size');
    return {
      source: '',
      target: this.#target(fields),
      mode: 0o1777,
      ...(size !== undefined && { sizeBytes: sizeOf(size) }),
    };
  }

  #ssh(mount: Mount, machine: BuildMachine, undo: (() => Promise<void>)[]): Promise<GuestBind | undefined> {
    const index = this.#mounts.filter(({ type }) => type === 'ssh').indexOf(mount);
    const target = sshTarget(mount, index, this.#workingDirectory);
    return sshBind(this.#scope, mount, target, machine, undo);
  }

  async #secret(
    { fields }: Mount,
    machine: BuildMachine,
    to: {
      readonly binds: GuestBind[];
      readonly files: InjectedFile[];
      readonly env: string[];
      readonly undo: (() => Promise<void>)[];
    },
  ): Promise<void> {
    const target = fields.get('target');
    const id = fields.get('id') ?? (target === undefined ? undefined : posix.basename(target));
    const variable = fields.get('env');
    if (id === undefined)
      throw new HyperError('invalid-argument', 'RUN --mount=type=secret: want an id or a target');
    const content = this.#scope.secrets.get(id);
    if (!content) {
      if (isTrue(fields.get('required'))) throw new HyperError('not-found', `secret ${id}: not found`);
      return;
    }
    if (variable !== undefined) to.env.push(`${variable}=${content.toString('utf8')}`);
    if (variable !== undefined && target === undefined) return;
    const path =
      target === undefined ? `/run/secrets/${id}` : posix.resolve('/', this.#workingDirectory, target);
    const owner = {
      mode: modeOf(fields.get('mode') ?? '0400'),
      uid: idOf(fields.get('uid')),
      gid: idOf(fields.get('gid')),
    };
    if (content.length <= MAX_INJECTED_BYTES) {
      to.files.push({ ...owner, path, content });
      return;
    }
    const file = await machine.addFile({ ...owner, content });
    to.undo.push(async () => file[Symbol.asyncDispose]());
    to.binds.push({ source: file.source, target: path });
  }

  #target(fields: ReadonlyMap<string, string>): string {
    const target = fields.get('target');
    if (target === undefined || target === '')
      throw new HyperError('invalid-argument', 'RUN --mount: want a target');
    const path = posix.resolve('/', this.#workingDirectory || '/', target);
    if (namesOf(path).length === 0)
      throw new HyperError('invalid-argument', `RUN --mount: invalid mount target "${target}"`);
    return path;
  }
}
