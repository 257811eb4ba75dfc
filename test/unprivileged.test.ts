import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDaemon } from './support/daemon.ts';

const NOBODY = 65534;
const isRoot = process.getuid?.() === 0;

/** What running needs of the checkout, where any user can read it: the checkout itself may lie in somebody's home. */
function readableCopy(): string {
  const copy = mkdtempSync(join(tmpdir(), 'hyu-'));
  chmodSync(copy, 0o755);
  const parts = [
    'bin',
    'packages/hyperd/dist',
    'packages/hyperctl/dist',
    'build/images',
    'build/host',
    'node_modules/.bin/node',
  ];
  const guest = ['build/guest/vmlinux', 'build/guest/initramfs.cpio'];
  execFileSync('cp', ['-rL', '--parents', ...parts, ...guest, copy], {
    cwd: join(import.meta.dirname, '..'),
  });
  execFileSync('chmod', ['-R', 'a+rX', copy]);
  return copy;
}

test('an ordinary user runs a pod, no root needed', {
  skip: !isRoot && 'this run is unprivileged already',
}, async () => {
  const checkout = readableCopy();
  try {
    await using daemon = await startDaemon({ uid: NOBODY, checkout });
    const result = await daemon.hyperctl(['run', '--rm', 'busybox', 'id', '-u']);
    assert.deepEqual([result.code, result.stdout], [0, '0\n'], result.stderr + daemon.log());
    // Root in the guest is that user on the host; there is no other one.
    const source = mkdtempSync(join(tmpdir(), 'hyu-'));
    chownSync(source, NOBODY, NOBODY);
    const script =
      'echo x > /data/f; echo y > /named/f; stat -c %u /data/f; chown 5 /data/f 2> /dev/null || echo refused';
    const volumes = ['-v', `${source}:/data`, '-v', 'named:/named'];
    const shared = await daemon.hyperctl(['run', '--rm', ...volumes, 'busybox', 'sh', '-c', script]);
    assert.equal(shared.stdout, '0\nrefused\n', shared.stderr + daemon.log());
    assert.equal(statSync(join(source, 'f')).uid, NOBODY);
    assert.equal((await daemon.hyperctl(['volume', 'rm', 'named'])).stdout, 'named\n');
    rmSync(source, { recursive: true });
  } finally {
    rmSync(checkout, { recursive: true, force: true });
  }
});
