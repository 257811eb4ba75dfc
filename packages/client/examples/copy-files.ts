// Copies a file out of a container and a directory into it; both are tar streams, here made and read by tar(1).
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createClient, defaultHost } from '@hyperd/client';

using client = createClient(process.env.HYPER_HOST ?? defaultHost(process.env, process.getuid?.() ?? 0));

const directory = mkdtempSync(join(tmpdir(), 'example-'));
const pod = await client.createPod({
  id: 'example-copy',
  containers: [{ name: 'example-copy', image: 'busybox', command: ['sleep', '1000'] }],
});
try {
  await client.startPod(pod);
  writeFileSync(join(directory, 'greeting'), 'hello\n');
  const packing = spawn('tar', ['-c', '-C', directory, 'greeting'], { stdio: ['ignore', 'pipe', 'inherit'] });
  await client.copyIn('example-copy', '/srv', packing.stdout);

  const unpacking = spawn('tar', ['-x', '-C', directory], { stdio: ['pipe', 'inherit', 'inherit'] });
  const unpacked = new Promise((resolve) => unpacking.once('close', resolve));
  await pipeline(await client.copyOut('example-copy', '/srv'), unpacking.stdin);
  await unpacked;
  console.log(`there and back: ${readFileSync(join(directory, 'srv/greeting'), 'utf8').trim()}`);
} finally {
  await client.removePod(pod);
  rmSync(directory, { recursive: true });
}
