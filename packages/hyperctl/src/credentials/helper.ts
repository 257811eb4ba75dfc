import { spawn } from 'node:child_process';

/** Time enough for somebody to unlock a key ring. */
const TIMEOUT_MS = 60_000;
const MAX_ANSWER_BYTES = 1 << 20;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/** User and secret of a server as a helper has them; of an identity token the user is `<token>`. */
export interface HelperCredentials {
  readonly Username: string;
  readonly Secret: string;
}

/** A program `docker-credential-NAME` that keeps credentials (the protocol of docker-credential-helpers). All calls throw an Error that names it. */
export class CredentialHelper {
  readonly #program: string;
  readonly #timeoutMs: number;

  constructor(name: string, timeoutMs = TIMEOUT_MS) {
    if (!NAME.test(name))
      throw new Error(`use credential helper "${name}": want a name of letters, digits, ".", "_", "-"`);
    this.#program = `docker-credential-${name}`;
    this.#timeoutMs = timeoutMs;
  }

  /** undefined where it has none. */
  async get(server: string): Promise<HelperCredentials | undefined> {
    const { code, output } = await this.#run('get', server);
    if (code !== 0) {
      if (/credentials not found|no credentials/i.test(output)) return undefined;
      throw this.#failure('get', output.trim() || `it ended with ${code}`);
    }
    const answer = this.#json('get', output);
    const { Username, Secret } = (answer ?? {}) as Partial<HelperCredentials>;
    if (typeof Username !== 'string' || typeof Secret !== 'string') {
      throw this.#failure('get', 'its answer has no Username and Secret');
    }
    return { Username, Secret };
  }

  async store(server: string, credentials: HelperCredentials): Promise<void> {
    const { code } = await this.#run('store', JSON.stringify({ ServerURL: server, ...credentials }));
    if (code !== 0) throw this.#failure('store', `it ended with ${code}`); // what it says may hold the secret
  }

  /** Forgetting what it does not have is no failure. */
  async erase(server: string): Promise<void> {
    const { code, output } = await this.#run('erase', server);
    if (code === 0 || /credentials not found|no credentials/i.test(output)) return;
    throw this.#failure('erase', output.trim() || `it ended with ${code}`);
  }

  /** The servers it has credentials for. */
  async servers(): Promise<string[]> {
    const { code, output } = await this.#run('list', '');
    if (code !== 0) throw this.#failure('list', output.trim() || `it ended with ${code}`);
    const answer = this.#json('list', output);
    if (typeof answer !== 'object' || answer === null) throw this.#failure('list', 'its answer is no object');
    return Object.keys(answer);
  }

  async #run(
    action: string,
    input: string,
  ): Promise<{ readonly code: number | null; readonly output: string }> {
    const { promise, resolve, reject } = Promise.withResolvers<number | null>();
    const child = spawn(this.#program, [action], { stdio: ['pipe', 'pipe', 'inherit'] });
    let [output, why] = ['', 'ended'] as [string, 'ended' | 'late' | 'long'];
    const stop = (reason: typeof why): void => {
      why = reason;
      child.kill('SIGKILL');
      child.stdout.destroy(); // what it has started may hold it open
    };
    const timer = setTimeout(() => stop('late'), this.#timeoutMs);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output.length > MAX_ANSWER_BYTES) stop('long');
    });
    child.stdin.on('error', () => undefined); // it may end without reading; its exit code says more
    child.stdin.end(input);
    child.once('error', reject).once('close', resolve);
    try {
      const code = await promise;
      if (why === 'late') throw this.#failure(action, `no answer within ${this.#timeoutMs / 1000} s`);
      if (why === 'long') throw this.#failure(action, `an answer of more than ${MAX_ANSWER_BYTES} bytes`);
      return { code, output };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      throw this.#failure(action, 'there is no such program in PATH');
    } finally {
      clearTimeout(timer);
    }
  }

  #json(action: string, text: string): unknown {
    try {
      return JSON.parse(text);
    } catch {
      throw this.#failure(action, 'its answer is no JSON');
    }
  }

  #failure(action: string, why: string): Error {
    return new Error(`run "${this.#program} ${action}": ${why.slice(0, 500)}`);
  }
}
