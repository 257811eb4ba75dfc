// Follows a log while the pod runs, and looks at what the pod uses.
import { ApiError, createClient, defaultHost } from '@hyperd/client';

using client = createClient(process.env.HYPER_HOST ?? defaultHost(process.env, process.getuid?.() ?? 0));

const script = 'for i in 1 2 3; do echo line $i; sleep 0.2; done; read end';
const pod = await client.createPod({
  id: 'example-logs',
  containers: [{ name: 'example-logs', image: 'busybox', command: ['sh', '-c', script] }],
});
try {
  await client.startPod(pod);
  let lines = 0;
  for await (const { bytes } of client.logs('example-logs', { tty: false, follow: true })) {
    process.stdout.write(bytes);
    if (++lines === 3) break;
  }
  const { cpu, memory, processes } = await client.stats(pod);
  console.log(cpu.usage.total > 0, memory.working_set < memory.limit, processes > 0);

  const missing = await client.containerInfo('nonesuch').catch((error: unknown) => error);
  if (missing instanceof ApiError) console.log(missing.status, missing.code);
} finally {
  await client.removePod(pod);
}
