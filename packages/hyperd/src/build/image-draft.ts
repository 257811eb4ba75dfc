import { HyperError } from '../errors.ts';
import type { CommandLine, Healthcheck } from './dockerfile/instruction.ts';

/** The `config` member of an image's configuration (OCI image-spec, config.md), as Docker writes it. */
export interface DraftConfig {
  User?: string;
  ExposedPorts?: Record<string, object>;
  Env?: string[];
  Entrypoint?: string[] | null;
  Cmd?: string[] | null;
  Volumes?: Record<string, object>;
  WorkingDir?: string;
  Labels?: Record<string, string>;
  StopSignal?: string;
  OnBuild?: string[] | null;
  Shell?: string[];
  Healthcheck?: object;
  [other: string]: unknown;
}

export interface HistoryStep {
  readonly created?: string;
  readonly created_by?: string;
  readonly comment?: string;
  readonly empty_layer?: boolean;
}

const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const DEFAULT_SHELL = ['/bin/sh', '-c'];
/** What Docker's tools know the builder's steps by. */
const COMMENT = 'buildkit.dockerfile.v0';
/** Kept of a base image's configuration. */
const KEPT = ['architecture', 'os', 'variant', 'os.version', 'os.features', 'author'];

/** An image's configuration while its stage is being built. Copied for every stage that goes on from it. */
export class ImageDraft {
  readonly config: DraftConfig;
  readonly #document: Record<string, unknown>;
  readonly #history: HistoryStep[];
  /** A CMD of this stage outlives a later ENTRYPOINT. */
  #hasOwnCommand = false;

  private constructor(
    document: Record<string, unknown>,
    config: DraftConfig,
    history: readonly HistoryStep[],
  ) {
    this.#document = document;
    this.config = config;
    this.#history = [...history];
  }

  static scratch(platform: {
    readonly os: string;
    readonly architecture: string;
    readonly variant?: string | undefined;
  }): ImageDraft {
    const { os, architecture, variant } = platform;
    return new ImageDraft(
      { architecture, os, ...(variant && { variant }) },
      { Env: [DEFAULT_PATH], WorkingDir: '/' },
      [],
    );
  }

  /** To go on from an image's configuration. */
  static from(image: Readonly<Record<string, unknown>>): ImageDraft {
    const document = Object.fromEntries(KEPT.flatMap((key) => (image[key] ? [[key, image[key]]] : [])));
    const config = structuredClone((image.config ?? {}) as DraftConfig);
    return new ImageDraft(document, config, (image.history ?? []) as readonly HistoryStep[]);
  }

  copy(): ImageDraft {
    return new ImageDraft({ ...this.#document }, structuredClone(this.config), this.#history);
  }

  get shell(): readonly string[] {
    return this.config.Shell ?? DEFAULT_SHELL;
  }

  set author(author: string) {
    this.#document.author = author;
  }

  /** `KEY=value` by key. */
  env(name: string): string | undefined {
    return this.config.Env?.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
  }

  setEnv(name: string, value: string): void {
    const env = [...(this.config.Env ?? [])];
    const at = env.findIndex((entry) => entry.startsWith(`${name}=`));
    if (at < 0) env.push(`${name}=${value}`);
    else env[at] = `${name}=${value}`;
    this.config.Env = env;
  }

  /** The words of a command line; those of the shell form have the shell before them. */
  words(command: CommandLine): string[] {
    return command.form === 'exec' ? [...command.args] : [...this.shell, command.text];
  }

  setCommand(words: readonly string[]): void {
    this.config.Cmd = [...words];
    this.#hasOwnCommand = true;
  }

  setEntrypoint(words: readonly string[]): void {
    this.config.Entrypoint = [...words];
    if (!this.#hasOwnCommand) this.config.Cmd = null;
  }

  setHealthcheck({ test, interval, timeout, startPeriod, startInterval, retries }: Healthcheck): void {
    const words =
      test === 'none' ? ['NONE'] : test.form === 'exec' ? ['CMD', ...test.args] : ['CMD-SHELL', test.text];
    this.config.Healthcheck = {
      Test: words,
      ...(interval && { Interval: interval }),
      ...(timeout && { Timeout: timeout }),
      ...(startPeriod && { StartPeriod: startPeriod }),
      ...(startInterval && { StartInterval: startInterval }),
      ...(retries && { Retries: retries }),
    };
  }

  /** Records a step. `created`: RFC 3339; undefined: as the one before. */
  step(
    text: string,
    { isEmpty, created }: { readonly isEmpty: boolean; readonly created?: string | undefined },
  ): void {
    const time = created ?? this.created;
    this.#history.push({
      ...(time !== undefined && { created: time }),
      ...{ created_by: text, comment: COMMENT },
      ...(isEmpty && { empty_layer: true }),
    });
  }

  /** Of the last step that has a time. */
  get created(): string | undefined {
    return this.#history.findLast(({ created }) => created !== undefined)?.created;
  }

  /** The configuration, but for the list of layers. `created`: where no step has a time. */
  document(created: string): object {
    const { Cmd, Entrypoint, OnBuild, ...rest } = this.config;
    const config = {
      ...rest,
      ...(Entrypoint && { Entrypoint }),
      ...(Cmd && { Cmd }),
      ...(OnBuild?.length && { OnBuild }),
    };
    const time = this.created ?? created;
    const history = this.#history.map((step) => ({ created: time, ...step }));
    return { ...this.#document, created: time, config, history };
  }
}

/** `80`, `8000-8010/udp` as an image's configuration names ports. Throws `invalid-argument`. */
export function exposedPorts(text: string): string[] {
  const [, from = '', to = from, protocol = 'tcp'] =
    /^(?:[\d.]*:)?(?:\d*:)?(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to)];
  if (from === '' || first < 1 || last > 65_535 || last < first)
    throw new HyperError('invalid-argument', `invalid containerPort: ${text.slice(0, 100)}`);
  return Array.from({ length: last - first + 1 }, (_, index) => `${first + index}/${protocol.toLowerCase()}`);
}
