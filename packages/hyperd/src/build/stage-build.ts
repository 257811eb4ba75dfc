import { posix } from 'node:path';
import { HyperError, isHyperError } from '../errors.ts';
import type { ImageLayer } from '../images/assembly/layer-sink.ts';
import { chainIdOf } from '../images/digest.ts';
import type { RootfsLease } from '../images/image-service.ts';
import type { TreeNode } from '../images/layers/tree.ts';
import { signalNumber } from '../signals.ts';
import type { BuildMachine } from './build-machine.ts';
import { type BuildScope, createdOf, nowOf, type StageResult } from './build-scope.ts';
import { cacheKey } from './cache.ts';
import { CopyStep } from './copy-step.ts';
import type { Instruction, InstructionOf } from './dockerfile/instruction.ts';
import { parseTrigger } from './dockerfile/parse-dockerfile.ts';
import { parseError } from './dockerfile/parse-error.ts';
import { expandWord, expandWords } from './dockerfile/words.ts';
import { ownerOf } from './files/image-users.ts';
import { TreeChanges } from './files/tree-changes.ts';
import { bytesOf, resolvePath } from './files/tree-path.ts';
import { exposedPorts, ImageDraft } from './image-draft.ts';
import { RunMounts } from './run-mounts.ts';
import { RunStep } from './run-step.ts';

/** Arguments that RUN gets without an ARG, and that change no result. */
const PROXY_ARGS = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'].flatMap((name) => [
  name,
  name.toLowerCase(),
]);
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** More layers over the base than this are put together to one disk. */
const MAX_OWN_DISKS = 6;

/** What a step makes: a layer, where it has changed anything. */
type Made = ImageLayer | undefined;

/** Builds one stage: its instructions one after the other, in a machine only where one of them has to run. */
export class StageBuild {
  readonly #scope: BuildScope;
  readonly #index: number;
  readonly #firstStep: number;
  readonly #steps: number;
  #draft: ImageDraft;
  #layers: ImageLayer[];
  #tree: TreeNode | undefined;
  #machine: BuildMachine | undefined;
  /** A machine on its way. */
  #starting: Promise<BuildMachine> | undefined;
  /** Layers of the image that the stage began with. */
  #baseLayers = 0;
  /** Whether a RUN is still to come. */
  #hasRunAhead = false;
  /** Arguments that an ARG has brought in, and their values; a later ENV takes their place. */
  readonly #args = new Map<string, string>();
  readonly #declared = new Set<string>();

  constructor(scope: BuildScope, index: number, place: { readonly first: number; readonly count: number }) {
    this.#scope = scope;
    this.#index = index;
    this.#firstStep = place.first;
    this.#steps = place.count;
    this.#draft = ImageDraft.scratch(scope.plan.platform);
    this.#layers = [];
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
      await this.#endMachine();
      this.#scope.output.end(this.#index);
    }
    const layers = this.#layers;
    let tree = this.#tree && Promise.resolve(this.#tree);
    return { draft: this.#draft, layers, tree: () => (tree ??= this.#scope.assembly.tree(layers)) };
  }

  /** The stage's base, and the triggers that it brings. */
  async #begin(): Promise<void> {
    const { plan } = this.#scope;
    const { base, stage } = plan.stages[this.#index] as (typeof plan.stages)[number];
    if (base.kind === 'scratch') return this.#say(' --->\n');
    if (base.kind === 'stage') {
      const { draft, layers } = await this.#scope.stage(base.index);
      this.#draft = draft.copy();
      this.#layers = [...layers];
      this.#baseLayers = layers.length;
      return this.#say(` ---> ${this.#shortId()}\n`);
    }
    const image = await this.#scope.image(base.reference, base.platform ?? stage.platform);
    this.#draft = ImageDraft.from(image.config);
    this.#layers = [...image.layers];
    this.#baseLayers = image.layers.length;
    await this.#say(` ---> ${image.id.slice(7, 19)}\n`);
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
        return this.#workdir(this.#expand(instruction.value));
      case 'arg':
        return this.#arg(instruction);
      default:
        this.#metadata(this.#configure(instruction));
    }
  }

  /** Instructions that change nothing but the configuration; what the history says of them. */
  #configure(
    instruction: Exclude<Instruction, InstructionOf<'run' | 'copy' | 'add' | 'workdir' | 'arg'>>,
  ): string {
    const draft = this.#draft;
    const { config } = draft;
    switch (instruction.kind) {
      case 'env': {
        const pairs = this.#pairs(instruction);
        for (const [key, value] of pairs) {
          draft.setEnv(key, value);
          this.#args.delete(key);
        }
        return `ENV ${pairs.map(([key, value]) => `${key}=${value}`).join(' ')}`;
      }
      case 'label': {
        const pairs = this.#pairs(instruction);
        config.Labels = { ...config.Labels, ...Object.fromEntries(pairs) };
        return `LABEL ${pairs.map(([key, value]) => `${key}=${value}`).join(' ')}`;
      }
      case 'cmd':
        draft.setCommand(draft.words(instruction.command));
        return `CMD ${quoted(config.Cmd ?? [])}`;
      case 'entrypoint':
        draft.setEntrypoint(draft.words(instruction.command));
        return `ENTRYPOINT ${quoted(config.Entrypoint ?? [])}`;
      case 'user':
        config.User = this.#expand(instruction.value);
        return `USER ${config.User}`;
      case 'stopsignal':
        config.StopSignal = this.#expand(instruction.value);
        signalNumber(config.StopSignal);
        return `STOPSIGNAL ${config.StopSignal}`;
      case 'maintainer':
        draft.author = instruction.value;
        return `MAINTAINER ${instruction.value}`;
      case 'expose': {
        const ports = instruction.values.flatMap((value) => this.#expandWords(value)).flatMap(exposedPorts);
        config.ExposedPorts = { ...config.ExposedPorts, ...objects(ports) };
        return `EXPOSE map[${ports
          .sort()
          .map((port) => `${port}:{}`)
          .join(' ')}]`;
      }
      case 'volume': {
        const volumes = instruction.values.map((value) => this.#expand(value));
        if (volumes.includes(''))
          throw new HyperError('invalid-argument', 'VOLUME specified can not be an empty string');
        config.Volumes = { ...config.Volumes, ...objects(volumes) };
        return `VOLUME [${volumes.join(' ')}]`;
      }
      case 'shell':
        config.Shell = [...instruction.values];
        return `SHELL [${instruction.values.join(' ')}]`;
      case 'onbuild':
        config.OnBuild = [...(config.OnBuild ?? []), instruction.trigger];
        return `ONBUILD ${instruction.trigger}`;
      case 'healthcheck':
        draft.setHealthcheck(instruction.healthcheck);
        return instruction.text;
    }
  }

  #arg({ args }: InstructionOf<'arg'>): void {
    const { args: given, usedArgs, plan } = this.#scope;
    for (const { key: name, value } of args) {
      const key = this.#expand(name);
      usedArgs.add(key);
      this.#declared.add(key);
      const text = given.get(key) ?? (value === undefined ? plan.globals.get(key) : this.#expand(value));
      if (text !== undefined) this.#args.set(key, text);
      this.#metadata(`ARG ${key}${text === undefined ? '' : `=${text}`}`);
    }
  }

  async #copy(instruction: InstructionOf<'copy' | 'add'>): Promise<void> {
    const { flags, kind } = instruction;
    const request = {
      instruction,
      sources: instruction.sources.map((source) =>
        source.heredoc
          ? { ...source, heredoc: { ...source.heredoc, content: this.#expandHeredoc(source.heredoc) } }
          : { text: this.#expand(source.text) },
      ),
      target: this.#expand(instruction.target),
      chown: flags.chown === undefined ? undefined : this.#expand(flags.chown),
      chmod: flags.chmod === undefined ? undefined : this.#expand(flags.chmod),
      exclude: flags.exclude.map((pattern) => this.#expand(pattern)),
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
      fields: new Map([...fields].map(([name, value]) => [name, this.#expand(value)])),
    }));
    const workingDirectory = config.WorkingDir ?? '/';
    const step = new RunStep(this.#scope, {
      ...{ instruction, shell: this.#draft.shell, user: config.User ?? '', workingDirectory },
      mounts: new RunMounts(this.#scope, mounts, this.#index, workingDirectory),
      ...{ env: this.#environment(), proxies: this.#proxies(), emit: this.#scope.output.of(this.#index) },
      keep: (layer) => this.#keep(layer),
    });
    const key = cacheKey('run', this.#chainId(), await step.key());
    await this.#make(
      key,
      `RUN ${this.#argsText()}${step.words.join(' ')} # buildkit`,
      async () => {
        const machine = await this.#ensureMachine();
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
      await this.#add(cached.layer, text, cached.created, false);
      return;
    }
    this.#expectRun();
    const layer = await work();
    const created = createdOf(this.#scope);
    this.#remember(key, layer, created);
    await this.#add(layer, text, created, isInMachine);
  }

  async #cached(key: string): Promise<{ readonly layer: Made; readonly created: string } | undefined> {
    const { cache, noCache, assembly, epoch } = this.#scope;
    const found = noCache ? undefined : cache.get(key);
    if (!found) return undefined;
    const created = epoch === undefined ? found.created : createdOf({ epoch });
    if (!found.layer) return { layer: undefined, created };
    const layer = await assembly.layer(found.layer);
    return layer && { layer, created };
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
      if (this.#machine && !isInMachine)
        await this.#machine.addLayer(await this.#scope.assembly.layerDisk(layer, this.#scope.signal));
    }
    this.#draft.step(text, { isEmpty: !layer || layer.isEmpty, created });
  }

  async #ensureMachine(): Promise<BuildMachine> {
    if (this.#machine?.isFull) await this.#endMachine();
    if (this.#machine) return this.#machine;
    const leases = await this.#leases();
    let machine: BuildMachine;
    try {
      machine = await this.#startMachine();
    } catch (error) {
      for (const lease of leases) lease[Symbol.dispose]();
      throw error;
    }
    this.#machine = machine;
    await machine.begin(leases);
    return machine;
  }

  /** The disks of the machine: the base as it is, and a few layers on it each by itself, which is quicker than to put them together. */
  async #leases(): Promise<RootfsLease[]> {
    const { assembly, signal } = this.#scope;
    const own = this.#layers.length - this.#baseLayers;
    const bottom = this.#baseLayers > 0 && own <= MAX_OWN_DISKS ? this.#baseLayers : this.#layers.length;
    const leases: RootfsLease[] = [];
    try {
      leases.push(await assembly.rootfs(this.#layers.slice(0, bottom), signal));
      for (const layer of this.#layers.slice(bottom)) leases.push(await assembly.layerDisk(layer, signal));
      return leases;
    } catch (error) {
      for (const lease of leases) lease[Symbol.dispose]();
      throw error;
    }
  }

  /** The machine that is on its way already, or a new one. */
  #startMachine(): Promise<BuildMachine> {
    const starting = this.#starting ?? this.#scope.startMachine(this.#index);
    this.#starting = undefined;
    return starting;
  }

  /** Something has to be made anew: whatever has to run after it will, so its machine may start meanwhile. */
  #expectRun(): void {
    if (this.#machine || this.#starting || !this.#hasRunAhead) return;
    this.#starting = this.#scope.startMachine(this.#index);
    this.#starting.catch(() => undefined); // told when the machine is needed
  }

  async #endMachine(): Promise<void> {
    const starting = this.#starting;
    this.#starting = undefined;
    const machine = this.#machine ?? (await starting?.catch(() => undefined));
    this.#machine = undefined;
    await machine?.[Symbol.asyncDispose]();
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

  /** `KEY=value` for a process: the image's environment, and the arguments. */
  #environment(): string[] {
    const env = new Map([['PATH', DEFAULT_PATH]]);
    for (const entry of this.#draft.config.Env ?? [])
      env.set(entry.split('=', 1)[0] ?? '', entry.slice(entry.indexOf('=') + 1));
    for (const [key, value] of this.#args) env.set(key, value);
    return [...env].map(([key, value]) => `${key}=${value}`);
  }

  #proxies(): string[] {
    return PROXY_ARGS.flatMap((name) => {
      const value = this.#scope.args.get(name);
      if (value === undefined || this.#args.has(name)) return [];
      this.#scope.usedArgs.add(name);
      return [`${name}=${value}`];
    });
  }

  /** What the history of a RUN tells of the arguments. */
  #argsText(): string {
    const args = [...this.#declared].filter((name) => !PROXY_ARGS.includes(name));
    if (args.length === 0) return '';
    return `|${args.length} ${args.map((name) => `${name}=${this.#lookUp(name) ?? ''}`).join(' ')} `;
  }

  #pairs({ pairs }: InstructionOf<'env' | 'label'>): [string, string][] {
    return pairs.map(({ key, value }) => [this.#expand(key), this.#expand(value)]);
  }

  readonly #lookUp = (name: string): string | undefined => this.#args.get(name) ?? this.#draft.env(name);

  #expand(text: string): string {
    return expandWord(text, { escapeChar: this.#scope.plan.escapeChar, environment: this.#lookUp });
  }

  #expandWords(text: string): string[] {
    return expandWords(text, { escapeChar: this.#scope.plan.escapeChar, environment: this.#lookUp });
  }

  #expandHeredoc({ content, expand }: { readonly content: string; readonly expand: boolean }): string {
    if (!expand) return content;
    return expandWord(content, {
      escapeChar: this.#scope.plan.escapeChar,
      environment: this.#lookUp,
      noQuotes: true,
    });
  }

  #say(stream: string): Promise<void> {
    return this.#scope.output.of(this.#index)({ stream });
  }
}

function objects(names: readonly string[]): Record<string, object> {
  return Object.fromEntries(names.map((name) => [name, {}]));
}

/** As Go's %q prints a list. */
function quoted(words: readonly string[]): string {
  return `[${words.map((word) => JSON.stringify(word)).join(' ')}]`;
}
