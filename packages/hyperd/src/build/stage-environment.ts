import type { BuildScope } from './build-scope.ts';
import type { InstructionOf } from './dockerfile/instruction.ts';
import { expandWord, expandWords } from './dockerfile/words.ts';
import type { ImageDraft } from './image-draft.ts';

/** Arguments that RUN gets without an ARG, and that change no result. */
const PROXY_ARGS = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'].flatMap((name) => [
  name,
  name.toLowerCase(),
]);
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The variables of a stage: its image's environment, and the arguments that ARG has brought in. */
export class StageEnvironment {
  readonly #scope: BuildScope;
  readonly #draft: () => ImageDraft;
  /** A later ENV takes the place of an argument. */
  readonly #args = new Map<string, string>();
  readonly #declared = new Set<string>();

  constructor(scope: BuildScope, draft: () => ImageDraft) {
    this.#scope = scope;
    this.#draft = draft;
  }

  /** Brings an argument in: the value that the build was given, or the instruction's, or the one before the first FROM. */
  declare(name: string, value: string | undefined): string | undefined {
    const { args, usedArgs, plan } = this.#scope;
    usedArgs.add(name);
    this.#declared.add(name);
    const text = args.get(name) ?? (value === undefined ? plan.globals.get(name) : this.expand(value));
    if (text !== undefined) this.#args.set(name, text);
    return text;
  }

  /** The arguments of the stage that this one stands on. */
  inherit(base: StageEnvironment): void {
    for (const [name, value] of base.#args) this.#args.set(name, value);
    for (const name of base.#declared) this.#declared.add(name);
  }

  setEnv(name: string, value: string): void {
    this.#draft().setEnv(name, value);
    this.#args.delete(name);
  }

  /** `KEY=value` for a process. */
  all(): string[] {
    const env = new Map([['PATH', DEFAULT_PATH]]);
    for (const entry of this.#draft().config.Env ?? [])
      env.set(entry.split('=', 1)[0] ?? '', entry.slice(entry.indexOf('=') + 1));
    for (const [key, value] of this.#args) env.set(key, value);
    return [...env].map(([key, value]) => `${key}=${value}`);
  }

  /** `KEY=value` that a process gets besides, and no result depends on. */
  proxies(): string[] {
    return PROXY_ARGS.flatMap((name) => {
      const value = this.#scope.args.get(name);
      if (value === undefined || this.#args.has(name)) return [];
      this.#scope.usedArgs.add(name);
      return [`${name}=${value}`];
    });
  }

  /** What the history of a RUN tells of the arguments. */
  argsText(): string {
    const args = [...this.#declared].filter((name) => !PROXY_ARGS.includes(name));
    if (args.length === 0) return '';
    return `|${args.length} ${args.map((name) => `${name}=${this.#lookUp(name) ?? ''}`).join(' ')} `;
  }

  /** All of them by what was set before the instruction. */
  pairs({ pairs }: InstructionOf<'env' | 'label'>): [string, string][] {
    return pairs.map(({ key, value }) => [this.expand(key), this.expand(value)]);
  }

  expand(text: string): string {
    return expandWord(text, this.#options);
  }

  expandWords(text: string): string[] {
    return expandWords(text, this.#options);
  }

  expandHeredoc({ content, expand }: { readonly content: string; readonly expand: boolean }): string {
    return expand ? expandWord(content, { ...this.#options, noQuotes: true }) : content;
  }

  get #options() {
    return { escapeChar: this.#scope.plan.escapeChar, environment: this.#lookUp };
  }

  readonly #lookUp = (name: string): string | undefined => this.#args.get(name) ?? this.#draft().env(name);
}
