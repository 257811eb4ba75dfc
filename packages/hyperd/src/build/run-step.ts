import { StringDecoder } from 'node:string_decoder';
import { HyperError } from '../errors.ts';
import type { InjectedFile, OutputStream } from '../guest/index.ts';
import type { ImageLayer } from '../images/assembly/layer-sink.ts';
import type { BuildMachine, FinishedStep } from './build-machine.ts';
import type { Emit } from './build-output.ts';
import type { BuildScope } from './build-scope.ts';
import { heredocStart, heredocText } from './dockerfile/heredoc.ts';
import type { InstructionOf } from './dockerfile/instruction.ts';
import { parseError } from './dockerfile/parse-error.ts';
import type { RunMounts } from './run-mounts.ts';

/** What a step may write before the rest is left out, in bytes. */
const MAX_OUTPUT_BYTES = 2 << 20;
/** Of the output, for the error of a step that fails, in characters. */
const MAX_TAIL = 2000;
/** Where scripts of their own are, that a heredoc with a `#!` makes. */
const SCRIPTS = '/dev/pipes';

export interface RunRequest {
  readonly instruction: InstructionOf<'run'>;
  readonly shell: readonly string[];
  readonly user: string;
  readonly workingDirectory: string;
  readonly mounts: RunMounts;
  readonly env: readonly string[];
  readonly proxies: readonly string[];
  readonly emit: Emit;
  /** Makes an image of the stage and this layer, for a step that has failed. */
  readonly keep: (layer: ImageLayer) => Promise<void>;
}

/** One RUN. */
export class RunStep {
  /** What runs. */
  readonly words: readonly string[];
  readonly #scope: BuildScope;
  readonly #request: RunRequest;
  readonly #script: InjectedFile | undefined;

  /** Throws `invalid-argument`. */
  constructor(scope: BuildScope, request: RunRequest) {
    this.#scope = scope;
    this.#request = request;
    const { words, script } = wordsOf(request, scope.plan.escapeChar);
    this.words = words;
    this.#script = script;
  }

  /** What the result depends on besides the file system. */
  async key(): Promise<unknown[]> {
    const { env, user, workingDirectory, mounts, instruction } = this.#request;
    const script = this.#script ? Buffer.from(this.#script.content).toString('latin1') : null;
    return [this.words, script, env, user, workingDirectory, instruction.network, await mounts.key()];
  }

  /** Runs it, and has its layer taken. Rejects `precondition` with the command, its exit code and its last output where it fails. */
  async run(
    machine: BuildMachine,
    take: (tar: AsyncIterable<Buffer>) => Promise<ImageLayer>,
  ): Promise<ImageLayer> {
    const { mounts, env, proxies, user, workingDirectory, instruction, emit } = this.#request;
    const output = new RunOutput(emit);
    await using prepared = await mounts.prepare(machine);
    const step = await machine.run({
      ...{ args: this.words, cwd: workingDirectory || '/', user },
      env: [...env, ...proxies, ...prepared.env, ...prepared.defaults.filter((entry) => isUnset(entry, env))],
      ...{ binds: prepared.binds, files: [...prepared.files, ...(this.#script ? [this.#script] : [])] },
      ...{
        noNetwork: instruction.network === 'none',
        timeoutMs: this.#scope.stepTimeoutMs,
      },
      onOutput: (stream, chunk) => output.take(stream, chunk),
    });
    await output.end();
    const { exitCode, signal } = step.exit;
    if (exitCode === 0 && signal === 0) return await take(step.changes());
    if (this.#scope.keepFailed) await this.#keep(step, take);
    throw this.#failure(step, output.tail);
  }

  /** What the step has left becomes an image, to look into. */
  async #keep(step: FinishedStep, take: (tar: AsyncIterable<Buffer>) => Promise<ImageLayer>): Promise<void> {
    await this.#request.keep(await take(step.changes()));
  }

  #failure({ exit, isTimedOut }: FinishedStep, tail: string): HyperError {
    const command = this.words.join(' ');
    const short = command.length > 1000 ? `${command.slice(0, 1000)}…` : command;
    const why = isTimedOut
      ? `did not end within ${Math.round(this.#scope.stepTimeoutMs / 1000)} s`
      : exit.outOfMemory
        ? `ran out of memory (exit code ${exit.exitCode})`
        : `returned a non-zero code: ${exit.exitCode}`;
    const said = tail.trim() === '' ? '' : `; its last output was:\n${tail.trimEnd()}`;
    return new HyperError('precondition', `The command '${short}' ${why}${said}`);
  }
}

function isUnset(entry: string, env: readonly string[]): boolean {
  const name = entry.slice(0, entry.indexOf('=') + 1);
  return !env.some((other) => other.startsWith(name));
}

/** The words to run, and the script that a heredoc brings. */
function wordsOf(
  { instruction, shell }: RunRequest,
  escapeChar: string,
): { readonly words: readonly string[]; readonly script?: InjectedFile } {
  const { command, heredocs, line } = instruction;
  const [first] = heredocs;
  if (!first) return { words: command.form === 'exec' ? command.args : [...shell, command.text] };
  if (command.form === 'exec') throw parseError(line, 'RUN: a heredoc does not go with the JSON form');
  if (!heredocStart(command.text, escapeChar)) {
    const documents = heredocs.map(({ content, name }) => `\n${content}${name}`);
    return { words: [...shell, command.text + documents.join('')] };
  }
  const text = heredocText(first);
  if (!text.startsWith('#!')) return { words: [...shell, text] };
  const path = `${SCRIPTS}/${first.name}`;
  return { words: [path], script: { path, content: Buffer.from(text), mode: 0o755, uid: 0, gid: 0 } };
}

/** A step's output on its way to the client: bounded, and its end kept for an error. */
class RunOutput {
  tail = '';
  readonly #emit: Emit;
  readonly #decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') };
  #bytes = 0;

  constructor(emit: Emit) {
    this.#emit = emit;
  }

  async take(stream: OutputStream, chunk: Buffer): Promise<void> {
    const before = this.#bytes;
    this.#bytes += chunk.length;
    const text = this.#decoders[stream].write(chunk);
    this.tail = (this.tail + text).slice(-MAX_TAIL);
    if (this.#bytes <= MAX_OUTPUT_BYTES) await this.#send(text);
    else if (before <= MAX_OUTPUT_BYTES)
      await this.#send(`\n[output clipped, log limit ${MAX_OUTPUT_BYTES >> 20}MiB reached]\n`);
  }

  async end(): Promise<void> {
    if (this.#bytes <= MAX_OUTPUT_BYTES)
      for (const decoder of Object.values(this.#decoders)) await this.#send(decoder.end());
  }

  async #send(text: string): Promise<void> {
    if (text !== '') await this.#emit({ stream: text });
  }
}
