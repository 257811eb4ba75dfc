// Runs further commands in a running pod.
import { createClient, defaultHost } from '@hyperd/client';

using client = createClient(process.env.HYPER_HOST ?? defaultHost(process.env, process.getuid?.() ?? 0));

/** Runs a command in a container; resolves with its output and exit code. */
async function run(container: string, ...command: string[]): Promise<{ output: string; exitCode: number }> {
  const session = await client.exec(container, command);
  session.input.end();
  let output = '';
  for await (const { bytes } of session.output) output += Buffer.from(bytes).toString();
  return { output, exitCode: (await session.ended)?.exitCode ?? -1 };
}

const pod = await client.createPod({
  id: 'example-exec',
  containers: [{ name: 'example-exec', image: 'busybox', command: ['sleep', '1000'] }],
});
try {
  await client.startPod(pod);
  console.log(await run('example-exec', 'sh', '-c', 'echo in the pod $((40 + 2))'));
  console.log(await run('example-exec', 'false'));
  for (const { pid, user, command } of await client.processes('example-exec'))
    console.log(pid, user, command);
} finally {
  await client.removePod(pod);
}
