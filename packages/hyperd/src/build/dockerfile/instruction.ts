import type { Heredoc } from './heredoc.ts';

/** A command of RUN, CMD, ENTRYPOINT, HEALTHCHECK: words as they are, or a text for the shell. */
export type CommandLine =
  | { readonly form: 'exec'; readonly args: readonly string[] }
  | { readonly form: 'shell'; readonly text: string };

export interface KeyValue {
  readonly key: string;
  readonly value: string;
}

export type MountType = 'bind' | 'cache' | 'tmpfs' | 'secret' | 'ssh';

/** `RUN --mount=…`: the fields as they are written, variables not expanded. */
export interface Mount {
  readonly type: MountType;
  readonly fields: ReadonlyMap<string, string>;
}

export interface CopySource {
  /** Path, pattern or, for ADD, URL. */
  readonly text: string;
  /** The source is this text. */
  readonly heredoc?: Heredoc;
}

export interface CopyFlags {
  readonly from: string | undefined;
  readonly chown: string | undefined;
  readonly chmod: string | undefined;
  readonly link: boolean;
  readonly parents: boolean;
  readonly exclude: readonly string[];
  /** ADD only. */
  readonly checksum: string | undefined;
  readonly keepGitDirectory: boolean;
  readonly unpack: boolean | undefined;
}

export interface Healthcheck {
  readonly test: 'none' | CommandLine;
  /** Nanoseconds. */
  readonly interval: number | undefined;
  readonly timeout: number | undefined;
  readonly startPeriod: number | undefined;
  readonly startInterval: number | undefined;
  readonly retries: number | undefined;
}

interface Common {
  readonly line: number;
  /** The instruction as it is written, for progress and errors. */
  readonly text: string;
}

/** One instruction of a stage. Variables are not expanded yet. */
export type Instruction = Common &
  (
    | {
        readonly kind: 'run';
        readonly command: CommandLine;
        readonly heredocs: readonly Heredoc[];
        readonly mounts: readonly Mount[];
        readonly network: string;
        readonly security: string;
      }
    | {
        readonly kind: 'copy' | 'add';
        readonly sources: readonly CopySource[];
        readonly target: string;
        readonly flags: CopyFlags;
      }
    | { readonly kind: 'env' | 'label'; readonly pairs: readonly KeyValue[] }
    | {
        readonly kind: 'arg';
        readonly args: readonly { readonly key: string; readonly value: string | undefined }[];
      }
    | { readonly kind: 'cmd' | 'entrypoint'; readonly command: CommandLine }
    | { readonly kind: 'workdir'; readonly value: string }
    | { readonly kind: 'user' | 'stopsignal' | 'maintainer'; readonly value: string }
    | { readonly kind: 'expose' | 'volume' | 'shell'; readonly values: readonly string[] }
    | { readonly kind: 'onbuild'; readonly trigger: string }
    | { readonly kind: 'healthcheck'; readonly healthcheck: Healthcheck }
  );

export type InstructionOf<K extends Instruction['kind']> = Extract<Instruction, { readonly kind: K }>;

/** A stage as it is written. */
export interface Stage {
  readonly index: number;
  /** Lower case. */
  readonly name: string | undefined;
  /** Image or earlier stage; variables not expanded. */
  readonly base: string;
  readonly platform: string | undefined;
  readonly line: number;
  readonly text: string;
  readonly instructions: readonly Instruction[];
}

export interface Dockerfile {
  readonly escapeChar: string;
  /** ARGs before the first FROM. */
  readonly globalArgs: readonly InstructionOf<'arg'>[];
  readonly stages: readonly Stage[];
}
