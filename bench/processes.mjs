// The daemons that a benchmark compares, and whole commands under the clock.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 60_000;

/**
 * Starts a daemon that says what it says to a file, and waits until `check` does not throw; resolves with it and what `check` returned. It is in a
 * session of its own: a Ctrl-C at the terminal is not for it, and whoever has started it ends it.
 */
export async function startDaemon(command, args, log, check) {
  const out = openSync(log, 'a');
  const child = spawn(command, args, { stdio: ['ignore', out, out], detached: true });
  closeSync(out);
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      return { child, answer: await check() };
    } catch (error) {
      if (child.exitCode !== null || Date.now() > deadline) {
        child.kill('SIGKILL');
        throw new Error(
          `${command} does not answer: ${error.message}\n${readFileSync(log, 'utf8').slice(-2000)}`,
        );
      }
      await sleep(20);
    }
  }
}

export async function stopDaemon(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await once(child, 'exit');
  clearTimeout(timer);
}

/** One run of a whole command: ms to its first byte of output, and to its end. Throws where it fails. */
export async function timed(command, args, env) {
  const startedAt = performance.now();
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let firstByte;
  let said = '';
  child.stdout.on('data', () => {
    firstByte ??= performance.now() - startedAt;
  });
  child.stderr.on('data', (chunk) => {
    said = (said + chunk).slice(-2000);
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${said}`);
  return { firstByte: firstByte ?? Number.NaN, whole: performance.now() - startedAt };
}
