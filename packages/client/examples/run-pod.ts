// Runs a command as a pod of its own, with its input and output, and tells its exit code.
import { createClient, defaultHost } from '@hyperd/client';

using client = createClient(process.env.HYPER_HOST ?? defaultHost(process.env, process.getuid?.() ?? 0));

const pod = {
  id: 'example-run',
  resource: { vcpu: 1, memory: 128 },
  containers: [{ image: 'busybox', command: ['sh', '-c', 'tr a-z A-Z; echo done >&2; exit 3'] }],
};
// The daemon removes the pod, also where this program ends before it.
const session = await client.run(pod, { remove: true });
session.input.end('typed by a program\n');
for await (const { stream, bytes } of session.output) process[stream].write(bytes);
console.log(`exit code ${(await session.ended)?.exitCode}`);
