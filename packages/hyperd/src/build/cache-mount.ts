import { HyperError } from '../errors.ts';
import type { GuestBind } from '../guest/index.ts';
import { chainIdOf } from '../images/digest.ts';
import { emptyRoot } from '../images/layers/tree.ts';
import type { BuildMachine } from './build-machine.ts';
import type { BuildScope } from './build-scope.ts';
import { cacheKey } from './cache.ts';
import { CACHE_SHARING, type CacheSharing } from './cache-disks.ts';
import { sourceNamed } from './copy-step.ts';
import type { Mount } from './dockerfile/instruction.ts';
import { TreeChanges } from './files/tree-changes.ts';
import { TreeCopy } from './files/tree-copy.ts';
import { bytesOf, resolvePath } from './files/tree-path.ts';
import { idOf, isTrue, modeOf } from './mount-fields.ts';

/** Directory of a cache's disk that is mounted. */
const DATA = 'data';
const ROOT = { uid: 0, gid: 0 };

/**
 * A `RUN --mount=type=cache` as a bind at `target`: a disk that is kept from build to build, new ones begin with what `from` has at `source`. `undo` gets what
 * takes the disk out of the machine and gives it back.
 */
export async function cacheBind(
  scope: BuildScope,
  stage: number,
  { fields }: Mount,
  target: string,
  machine: BuildMachine,
  undo: (() => Promise<void>)[],
): Promise<GuestBind> {
  const start = await startOf(scope, stage, fields);
  const owner = ['uid', 'gid', 'mode'].map((name) => fields.get(name) ?? '');
  const id = fields.get('id') || target;
  // A cache that begins otherwise is another cache.
  const key = start || owner.some((text) => text !== '') ? cacheKey(id, start?.key ?? '', owner) : id;
  const disk = await scope.cacheDisk(key, sharingOf(fields.get('sharing')));
  undo.push(async () => disk[Symbol.asyncDispose]());
  const name = await machine.addCacheDisk(disk.path);
  undo.push(async () => {
    try {
      await machine.removeDisk(name);
    } catch {
      await machine[Symbol.asyncDispose](); // it is of no use any more, and must not keep the disk
    }
  });
  if (start && disk.isNew) await machine.unpack(name, start.tar());
  await disk.keep();
  return {
    ...{ source: `${name}/${DATA}`, target, create: true, readOnly: isTrue(fields.get('readonly')) },
    ...{
      mode: modeOf(fields.get('mode') ?? '0755'),
      uid: idOf(fields.get('uid')),
      gid: idOf(fields.get('gid')),
    },
  };
}

function sharingOf(text = 'shared'): CacheSharing {
  const sharing = CACHE_SHARING.find((known) => known === text);
  if (sharing) return sharing;
  throw new HyperError(
    'invalid-argument',
    `RUN --mount: sharing "${text.slice(0, 100)}" is none of ${CACHE_SHARING.join(', ')}`,
  );
}

/** What a new cache begins with; undefined: with nothing. */
async function startOf(
  scope: BuildScope,
  stage: number,
  fields: ReadonlyMap<string, string>,
): Promise<{ readonly key: string; tar(): AsyncIterable<Buffer> } | undefined> {
  const [from, source = '/'] = [fields.get('from'), fields.get('source')];
  if (from === undefined || from === '') {
    if (source === '/') return undefined;
    throw new HyperError('invalid-argument', `RUN --mount=type=cache: source "${source}" wants a from`);
  }
  const { layers, tree } = await sourceNamed(scope, from, stage);
  const { path, node } = resolvePath(await tree(), bytesOf(source), { followLast: true });
  if (node?.type !== 'directory')
    throw new HyperError('not-found', `RUN --mount: "${source}" of ${from}: there is no such directory`);
  const { mode, uid, gid, mtime } = node;
  const attributes = {
    mode: fields.has('mode') ? modeOf(fields.get('mode') ?? '') : mode,
    ...{ uid: fields.has('uid') ? idOf(fields.get('uid')) : uid, mtime },
    gid: fields.has('gid') ? idOf(fields.get('gid')) : gid,
  };
  return {
    key: cacheKey(chainIdOf(layers.map(({ diffId }) => diffId)), source),
    tar() {
      const changes = new TreeChanges(emptyRoot(), 0);
      const rules = {
        ...{ owner: undefined, parentOwner: ROOT, mode: undefined, exclude: undefined },
        ...{ parents: false, literal: true },
      };
      new TreeCopy(changes, rules).copy({ path, node, name: DATA }, DATA);
      Object.assign(changes.at(DATA) ?? {}, attributes);
      return changes.tar(scope.assembly.contents);
    },
  };
}
