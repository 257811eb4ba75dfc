import { posix } from 'node:path';
import { HyperError } from '../errors.ts';
import { emptyRoot, type TreeNode } from '../images/layers/tree.ts';
import { type AddedSource, addSource } from './add-source.ts';
import { type BuildScope, type LayerSource, nowOf } from './build-scope.ts';
import { cacheKey } from './cache.ts';
import { heredocText } from './dockerfile/heredoc.ts';
import type { CopySource, InstructionOf } from './dockerfile/instruction.ts';
import { extractInto } from './files/extract.ts';
import { parseFileMode } from './files/file-mode.ts';
import { IgnorePatterns } from './files/ignore-patterns.ts';
import { ownerOf } from './files/image-users.ts';
import { fileNode, type Owner, TreeChanges } from './files/tree-changes.ts';
import { type FoundSource, findSources, TreeCopy } from './files/tree-copy.ts';
import { TreeDigests } from './files/tree-digest.ts';
import { bytesOf } from './files/tree-path.ts';
import { stageNamed } from './plan.ts';

type CopyInstruction = InstructionOf<'copy' | 'add'>;

/** A COPY or ADD with its variables expanded. */
export interface CopyRequest {
  readonly instruction: CopyInstruction;
  readonly sources: readonly CopySource[];
  readonly target: string;
  readonly chown: string | undefined;
  readonly chmod: string | undefined;
  readonly exclude: readonly string[];
  /** Of the image, for relative targets. */
  readonly workingDirectory: string;
}

const ROOT: Owner = { uid: 0, gid: 0 };

/** Copies into a stage, without a machine: the layer is written from the sources' content. */
export class CopyStep {
  readonly #scope: BuildScope;
  readonly #request: CopyRequest;
  readonly #stage: number;
  readonly #target: string;
  readonly #exclude: IgnorePatterns | undefined;
  #added: readonly AddedSource[] | undefined;

  /** Throws `invalid-argument`. */
  constructor(scope: BuildScope, request: CopyRequest, stage: number) {
    this.#scope = scope;
    this.#request = request;
    this.#stage = stage;
    this.#target = targetOf(request);
    this.#exclude = excludeOf(request.exclude);
    const { sources, instruction } = request;
    if (sources.length > 1 && !this.#target.endsWith('/'))
      throw new HyperError(
        'invalid-argument',
        `When using ${instruction.kind.toUpperCase()} with more than one source file, the destination must be a directory and end with a /`,
      );
  }

  /** What the result depends on besides what it is put on; reads the sources. Throws `not-found` for one that is not there. */
  async key(): Promise<string> {
    const { instruction, chown, chmod, exclude } = this.#request;
    const { flags, kind } = instruction;
    const digests = await this.#digests();
    return cacheKey(
      kind,
      digests,
      this.#target,
      chown ?? null,
      chmod ?? null,
      flags.link,
      flags.parents,
      exclude,
    );
  }

  /** Makes the changes to a tree, for a layer. */
  async changes(tree: TreeNode): Promise<TreeChanges> {
    const { instruction, chmod, chown } = this.#request;
    const { contents } = this.#scope.assembly;
    const { flags } = instruction;
    const owner = chown === undefined ? undefined : await ownerOf(chown, tree, contents);
    const changes = new TreeChanges(flags.link ? emptyRoot() : tree, nowOf(this.#scope));
    const rules = {
      ...{ parentOwner: owner ?? ROOT, mode: chmod === undefined ? undefined : parseFileMode(chmod) },
      ...{ exclude: this.#exclude, parents: flags.parents, literal: flags.link },
    };
    for (const source of await this.#sources()) {
      if (source.kind === 'archive') {
        await extractInto(changes, source.entries, source.layer, {
          target: this.#target,
          owner,
          parentOwner: rules.parentOwner,
        });
        continue;
      }
      const copy = new TreeCopy(changes, {
        ...rules,
        owner: owner ?? (source.keepsOwner ? undefined : ROOT),
      });
      for (const found of source.found) copy.copy(found, bytesOf(this.#target));
    }
    return changes;
  }

  async #digests(): Promise<unknown[]> {
    const { contents } = this.#scope.assembly;
    const digests: unknown[] = [];
    for (const source of await this.#sources()) {
      if (source.kind === 'archive') {
        digests.push(['archive', source.digest]);
        continue;
      }
      const reader = new TreeDigests(contents, { withOwners: source.keepsOwner });
      for (const { node, name, path, keptPath = path } of source.found)
        digests.push([
          await reader.of(node, name, this.#exclude),
          name,
          this.#request.instruction.flags.parents ? keptPath : '',
        ]);
    }
    return digests;
  }

  async #sources(): Promise<readonly AddedSource[]> {
    if (this.#added) return this.#added;
    const { instruction, sources } = this.#request;
    const { from } = instruction.flags;
    const other = from === undefined ? undefined : await sourceNamed(this.#scope, from, this.#stage);
    const added: AddedSource[] = [];
    for (const source of sources) {
      if (source.heredoc) added.push(await this.#heredoc(source));
      else if (other)
        added.push({
          kind: 'files',
          keepsOwner: true,
          found: findSources(await other.tree(), bytesOf(source.text), source.text),
        });
      else if (instruction.kind === 'add')
        added.push(...(await addSource(this.#scope, source.text, this.#target, instruction.flags)));
      else
        added.push({
          kind: 'files',
          keepsOwner: false,
          found: findSources(this.#scope.context, bytesOf(source.text), source.text),
        });
    }
    this.#added = added;
    return added;
  }

  async #heredoc({ heredoc }: CopySource): Promise<AddedSource> {
    if (!heredoc) throw new HyperError('internal', 'copy a heredoc: there is none');
    const { content } = await this.#scope.assembly.takeFile([Buffer.from(heredocText(heredoc))], 'heredoc');
    const name = bytesOf(heredoc.name);
    const found: FoundSource = { path: name, name, node: fileNode(content, 0o644, nowOf(this.#scope)) };
    return { kind: 'files', keepsOwner: false, found: [found] };
  }
}

/** A stage by name or number, or an image. */
export async function sourceNamed(scope: BuildScope, from: string, before: number): Promise<LayerSource> {
  const stages = scope.plan.stages.map(({ stage }) => stage);
  const index = stageNamed(from, stages, before, { numbers: true });
  if (index !== undefined) return scope.stage(index);
  const image = await scope.image(from, undefined);
  let tree: Promise<TreeNode> | undefined;
  return { layers: image.layers, tree: () => (tree ??= scope.assembly.tree(image.layers)) };
}

function targetOf({ target, workingDirectory }: CopyRequest): string {
  const isDirectory = target === '' || target === '.' || target.endsWith('/') || target.endsWith('/.');
  const path = posix.resolve('/', workingDirectory || '/', target);
  return isDirectory && path !== '/' ? `${path}/` : path;
}

function excludeOf(lines: readonly string[]): IgnorePatterns | undefined {
  if (lines.length === 0) return undefined;
  try {
    return new IgnorePatterns(lines);
  } catch (error) {
    throw new HyperError('invalid-argument', `read --exclude: ${(error as RangeError).message}`, {
      cause: error,
    });
  }
}
