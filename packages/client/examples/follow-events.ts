// Follows what happens to one pod until it is removed.
import { createClient, defaultHost } from '@hyperd/client';

using client = createClient(process.env.HYPER_HOST ?? defaultHost(process.env, process.getuid?.() ?? 0));

const since = new Date();
const pod = await client.createPod({
  id: 'example-events',
  containers: [{ name: 'example-events', image: 'busybox', command: ['sh', '-c', 'exit 7'] }],
});
await client.startPod(pod);
const { exitCode, status } = await client.waitPod(pod);
console.log(`it has ended: ${status.phase}, ${exitCode}`);
await client.removePod(pod);

for await (const { type, action, attributes } of client.events({ since, filters: { pod: [pod] } })) {
  console.log(type, action, attributes.exitCode ?? '');
  if (type === 'pod' && action === 'destroy') break;
}
