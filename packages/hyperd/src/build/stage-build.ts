import { posix } from 'node:path';
import { isHyperError } from '../errors.ts';
import type { ImageLayer } from '../images/assembly/layer-sink.ts';
import { chainIdOf } from '../images/digest.ts';
import type { TreeNode } from '../images/layers/tree.ts';
import { type BuildScope, createdOf, type MadeStep, nowOf, type StageResult } from './build-scope.ts';
import { cacheKey } from './cache.ts';
import { configure } from './configure.ts';
import { CopyStep } from './copy-step.ts';
import type { Instruction, InstructionOf } from './dockerfile/instruction.ts';
import { parseTrigger } from './dockerfile/parse-dockerfile.ts';
import { parseError } from './dockerfile/parse-error.ts';
import { ownerOf } from './files/image-users.ts';
import { TreeChanges } from './files/tree-changes.ts';
import { bytesOf, resolvePath } from './files/tree-path.ts';
import { ImageDraft } from './image-draft.ts';
import { RunMounts } from './run-mounts.ts';
import { RunStep } from './run-step.ts';
import { StageEnvironment } from './stage-environment.ts';
import { StageMachine } from './stage-machine.ts';

/** What a step makes: a layer, where it has changed anything. */
type Made = MadeStep['layer'];

/** Builds one stage: its instructions one after the other, in a machine only where one of them has to run. */
export class StageBuild {
  readonly #scope: BuildScope;
  readonly #index: number;
  readonly #firstStep: number;
  readonly #steps: number;
  #draft: ImageDraft;
  #layers: ImageLayer[];
  #tree: TreeNode | undefined;
  readonly #machine: StageMachine;
  /** What its steps have made so far, for a cache. */
  #made: readonly MadeStep[] = [];
  /** Layers of the image that the stage began with. */
  #baseLayers = 0;
  /** Whether a RUN is still to come. */
  #hasRunAhead = false;
  readonly #environment: StageEnvironment;

  constructor(scope: BuildScope, index: number, place: { readonly first: number; readonly count: number }) {
    this.#scope = scope;
    this.#index = index;
    this.#firstStep = place.first;
    this.#steps = place.count;
    this.#draft = ImageDraft.scratch(scope.plan.platform);
    this.#layers = [];
    this.#machine = new StageMachine(scope, index);
    this.#environment = new StageEnvironment(scope, () => this.#draft);
  }

  async run(): Promise<StageResult> {
    const { stages } = this.#scope.plan;
    const { stage } = stages[this.#index] as (typeof stages)[number];
    try {
      await this.#say(`Step ${this.#firstStep}/${this.#steps} : ${stage.text}\n`);
      const lastRun = stage.instructions.findLastIndex(({ kind }) => kind === 'run');
      this.#hasRunAhead = lastRun >= 0;
      if (this.#scope.noCache) this.#expectRun();
      await this.#begin();
      for (const [index, instruction] of stage.instructions.entries()) {
        this.#hasRunAhead = index <= lastRun;
        await this.#say(`Step ${this.#firstStep + index + 1}/${this.#steps} : ${instruction.text}\n`);
        await this.#step(instruction);
      }
    } finally {
      await this.#machine[Symbol.asyncDispose]();
      this.#scope.output.end(this.#index);
    }
    const layers = this.#layers;
    let tree = this.#tree && Promise.resolve(this.#tree);
    return {
      ...{ draft: this.#draft, environment: this.#environment, layers, made: this.#made },
      tree: () => (tree ??= this.#scope.assembly.tree(layers)),
    };
  }

  /** The stage's base, and the triggers that it brings. */
  async #begin(): Promise<void> {
    const { plan } = this.#scope;
    const { base, stage } = plan.stages[this.#index] as (typeof plan.stages)[number];
    if (base.kind === 'scratch') return this.#say(' --->\n');
    if (base.kind === 'stage') {
      const { draft, layers, made, environment } = await this.#scope.stage(base.index);
      this.#made = made;
      this.#environment.inherit(environment);
      this.#draft = draft.copy();
      this.#layers = [...layers];
      this.#baseLayers = layers.length;
      await this.#say(` ---> ${this.#shortId()}\n`);
      return this.#triggers();
    }
    const image = await this.#scope.image(base.reference, base.platform ?? stage.platform);
    this.#draft = ImageDraft.from(image.config);
    this.#layers = [...image.layers];
    this.#baseLayers = image.layers.length;
    await this.#say(` ---> ${image.id.slice(7, 19)}\n`);
    await this.#triggers();
  }

  /** What the base has for whoever builds on it. */
  async #triggers(): Promise<void> {
    const triggers = this.#draft.config.OnBuild ?? [];
    this.#draft.config.OnBuild = null;
    if (triggers.length > 0)
      await this.#say(`# Executing ${triggers.length} build trigger${triggers.length === 1 ? '' : 's'}\n`);
    for (const trigger of triggers)
      for (const instruction of parseTrigger(trigger)) await this.#step(instruction);
  }

  async #step(instruction: Instruction): Promise<void> {
    this.#scope.signal.throwIfAborted();
    try {
      await this.#dispatch(instruction);
    } catch (error) {
      // What is wrong with the instruction itself has its place in the file.
      if (isHyperError(error, 'invalid-argument') && !error.message.startsWith('dockerfile parse error'))
        throw parseError(instruction.line, error.message);
      throw error;
    }
    await this.#say(` ---> ${this.#shortId()}\n`);
  }

  async #dispatch(instruction: Instruction): Promise<void> {
    switch (instruction.kind) {
      case 'run':
        return this.#run(instruction);
      case 'copy':
      case 'add':
        return this.#copy(instruction);
      case 'workdir':
        return this.#workdir(this.#environment.expand(instruction.value));
      case 'arg':
        return this.#arg(instruction);
      default:
        this.#metadata(configure(this.#draft, this.#environment, instruction));
    }
  }

  #arg({ args }: InstructionOf<'arg'>): void {
    for (const { key, value } of args) {
      const name = this.#environment.expand(key);
      const text = this.#environment.declare(name, value);
      this.#metadata(`ARG ${name}${text === undefined ? '' : `=${text}`}`);
    }
  }

  async #copy(instruction: InstructionOf<'copy' | 'add'>): Promise<void> {
    const { flags, kind } = instruction;
    const request = {
      instruction,
      sources: instruction.sources.map((source) =>
        source.heredoc
          ? {
              ...source,
              heredoc: { ...source.heredoc, content: this.#environment.expandHeredoc(source.heredoc) },
            }
          : { text: this.#environment.expand(source.text) },
      ),
      target: this.#environment.expand(instruction.target),
      chown: flags.chown === undefined ? undefined : this.#environment.expand(flags.chown),
      chmod: flags.chmod === undefined ? undefined : this.#environment.expand(flags.chmod),
      exclude: flags.exclude.map((pattern) => this.#environment.expand(pattern)),
      workingDirectory: this.#draft.config.WorkingDir ?? '/',
    };
    const step = new CopyStep(this.#scope, request, this.#index);
    const key = cacheKey(
      flags.link && request.chown === undefined ? 'link' : this.#chainId(),
      await step.key(),
    );
    const options = [
      request.chown === undefined ? '' : ` --chown=${request.chown}`,
      flags.link ? ' --link' : '',
    ].join('');
    const names = [...request.sources.map(({ text }) => text), request.target].join(' ');
    await this.#make(key, `${kind.toUpperCase()}${options} ${names} # buildkit`, async () => {
      const changes = await step.changes(await this.#currentTree());
      if (changes.isEmpty) return undefined;
      const layer = await this.#take(changes.tar(this.#scope.assembly.contents), instruction.text);
      if (flags.link) await this.#applyToTree(layer);
      return layer;
    });
  }

  async #workdir(value: string): Promise<void> {
    const { config } = this.#draft;
    const path = posix.resolve('/', config.WorkingDir ?? '/', value);
    config.WorkingDir = path;
    const key = cacheKey('workdir', this.#chainId(), path, config.User ?? '');
    await this.#make(key, `WORKDIR ${path}`, async () => {
      const tree = await this.#currentTree();
      const place = resolvePath(tree, bytesOf(path), { followLast: true });
      if (place.node?.type === 'directory') return undefined;
      const owner = config.User
        ? await ownerOf(config.User, tree, this.#scope.assembly.contents)
        : { uid: 0, gid: 0 };
      const changes = new TreeChanges(tree, nowOf(this.#scope));
      changes.makeDirectories(place.path, owner);
      return this.#take(changes.tar(this.#scope.assembly.contents), `WORKDIR ${path}`);
    });
  }

  async #run(instruction: InstructionOf<'run'>): Promise<void> {
    const { config } = this.#draft;
    const mounts = instruction.mounts.map(({ type, fields }) => ({
      type,
      fields: new Map([...fields].map(([name, value]) => [name, this.#environment.expand(value)])),
    }));
    const workingDirectory = config.WorkingDir ?? '/';
    const step = new RunStep(this.#scope, {
      ...{ instruction, shell: this.#draft.shell, user: config.User ?? '', workingDirectory },
      mounts: new RunMounts(this.#scope, mounts, this.#index, workingDirectory),
      ...{
        env: this.#environment.all(),
        proxies: this.#environment.proxies(),
        emit: this.#scope.output.of(this.#index),
      },
      keep: (layer) => this.#keep(layer),
    });
    const key = cacheKey('run', this.#chainId(), await step.key());
    await this.#make(
      key,
      `RUN ${this.#environment.argsText()}${step.words.join(' ')} # buildkit`,
      async () => {
        const machine = await this.#machine.ensure(this.#layers, this.#baseLayers);
        const layer = await step.run(machine, (tar) => this.#take(tar, instruction.text));
        await this.#applyToTree(layer);
        return layer.isEmpty ? undefined : layer;
      },
      { isInMachine: true },
    );
  }

  /** Takes a step's layer out of the cache, or makes it and puts it there. */
  async #make(
    key: string,
    text: string,
    work: () => Promise<Made>,
    { isInMachine = false }: { readonly isInMachine?: boolean } = {},
  ): Promise<void> {
    const cached = await this.#cached(key);
    if (cached) {
      await this.#say(' ---> Using cache\n');
      if (cached.layer) await this.#applyToTree(cached.layer);
      this.#made = [...this.#made, { key, layer: cached.layer, created: cached.created }];
      await this.#add(cached.layer, text, cached.created, false);
      return;
    }
    this.#expectRun();
    const layer = await work();
    const created = createdOf(this.#scope);
    this.#remember(key, layer, created);
    this.#made = [...this.#made, { key, layer, created }];
    await this.#add(layer, text, created, isInMachine);
  }

  /** What this host has made before, or an image that the client has named. */
  async #cached(key: string): Promise<{ readonly layer: Made; readonly created: string } | undefined> {
    const { cache, cachedElsewhere, noCache, assembly, epoch } = this.#scope;
    if (noCache) return undefined;
    const found = cache.get(key);
    const layer = found?.layer && (await assembly.layer(found.layer));
    const known = found && (!found.layer || layer) ? { layer, created: found.created } : undefined;
    const step = known ?? cachedElsewhere.get(key);
    if (!step) return undefined;
    if (!known) this.#remember(key, step.layer, step.created);
    return { layer: step.layer, created: epoch === undefined ? step.created : createdOf({ epoch }) };
  }

  /** Once its blob is there: a row promises a whole layer. */
  #remember(key: string, layer: Made, created: string): void {
    const { cache } = this.#scope;
    if (!layer) {
      cache.put(key, { layer: undefined, created }, 0);
      return;
    }
    const remember = async (): Promise<void> => {
      const blob = await layer.blob;
      cache.put(key, { layer: { diffId: layer.diffId, blob }, created }, layer.tarBytes + blob.size);
    };
    remember().catch(() => undefined); // what is not remembered is made again; a blob that failed fails the build
  }

  async #add(layer: Made, text: string, created: string, isInMachine: boolean): Promise<void> {
    if (layer && !layer.isEmpty) {
      this.#layers.push(layer);
      if (!isInMachine) await this.#machine.addLayer(layer);
    }
    this.#draft.step(text, { isEmpty: !layer || layer.isEmpty, created });
  }

  /** Something has to be made anew: whatever has to run after it will, too. */
  #expectRun(): void {
    if (this.#hasRunAhead) this.#machine.expect();
  }

  async #keep(layer: ImageLayer): Promise<void> {
    const document = this.#draft.document(createdOf(this.#scope));
    const id = await this.#scope.assembly.finish(document, [...this.#layers, layer], []);
    await this.#say(` ---> What the step has left is image ${id}\n`);
  }

  async #take(tar: AsyncIterable<Buffer>, what: string): Promise<ImageLayer> {
    return this.#scope.assembly.takeLayer(tar, { what: what.slice(0, 200), latestMtime: this.#scope.epoch });
  }

  async #currentTree(): Promise<TreeNode> {
    this.#tree ??= await this.#scope.assembly.tree(this.#layers);
    return this.#tree;
  }

  async #applyToTree(layer: ImageLayer): Promise<void> {
    if (this.#tree) await this.#scope.assembly.apply(this.#tree, layer.diffId);
  }

  #chainId(): string {
    return chainIdOf(this.#layers.map(({ diffId }) => diffId));
  }

  /** Of the image that the stage would make now. */
  #shortId(): string {
    return cacheKey(this.#draft.document(''), this.#chainId()).slice(0, 12);
  }

  #metadata(text: string): void {
    const { epoch } = this.#scope;
    this.#draft.step(text, { isEmpty: true, ...(epoch !== undefined && { created: createdOf({ epoch }) }) });
  }

  #say(stream: string): Promise<void> {
    return this.#scope.output.of(this.#index)({ stream });
  }
}
