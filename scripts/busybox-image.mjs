// A small image named "busybox", from Debian's busybox-static, so that the first run needs no network. An OCI image layout in a tar.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { gzipSync } from 'node:zlib';
import { tar } from './tar.mjs';

/** Where Debian's busybox-static has it. */
export const PROGRAM = '/bin/busybox';
const ARCHITECTURES = { x64: 'amd64', arm64: 'arm64' };
const PASSWD =
  'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n';
const GROUP = 'root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n';

/** Writes the archive: the same bytes for the same program. */
export function makeBusyboxImage(path) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.tmp`, imageLayout(rootfs()));
  renameSync(`${path}.tmp`, path);
}

function rootfs() {
  const applets = execFileSync(PROGRAM, ['--list'], { encoding: 'utf8' }).trim().split('\n').sort();
  const directory = (name, mode = 0o755) => ({ name: `${name}/`, type: 'directory', mode });
  const file = (name, text, mode = 0o644) => ({ name, type: 'file', mode, data: Buffer.from(text) });
  return tar([
    ...[
      'bin',
      'dev',
      'etc',
      'home',
      'proc',
      'sys',
      'usr',
      'usr/bin',
      'usr/sbin',
      'var',
      'var/spool',
      'var/www',
    ].map((name) => directory(name)),
    directory('root', 0o700),
    directory('tmp', 0o1777),
    file('bin/busybox', readFileSync(PROGRAM), 0o755),
    ...applets
      .filter((applet) => applet !== 'busybox')
      .map((applet) => ({ name: `bin/${applet}`, type: 'link', mode: 0o755, linkName: 'bin/busybox' })),
    { name: 'usr/bin/env', type: 'symlink', mode: 0o777, linkName: '../../bin/env' },
    file('etc/passwd', PASSWD),
    file('etc/group', GROUP),
  ]);
}

function imageLayout(layer) {
  const packed = gzipSync(layer, { level: 9 });
  packed[9] = 3; // the same bytes on every system
  const blobs = [];
  const add = (mediaType, bytes) => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    blobs.push({ name: `blobs/sha256/${hex}`, type: 'file', mode: 0o644, data: bytes });
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const json = (value) => Buffer.from(JSON.stringify(value));
  const architecture = ARCHITECTURES[process.arch] ?? process.arch;
  const config = add(
    'application/vnd.oci.image.config.v1+json',
    json({
      architecture,
      os: 'linux',
      created: '1970-01-01T00:00:00Z',
      config: { Cmd: ['sh'], Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'] },
      rootfs: { type: 'layers', diff_ids: [`sha256:${createHash('sha256').update(layer).digest('hex')}`] },
    }),
  );
  const layers = [add('application/vnd.oci.image.layer.v1.tar+gzip', packed)];
  const manifestType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = add(manifestType, json({ schemaVersion: 2, mediaType: manifestType, config, layers }));
  const annotations = {
    'io.containerd.image.name': 'docker.io/library/busybox:latest',
    'org.opencontainers.image.ref.name': 'latest',
  };
  return tar([
    { name: 'oci-layout', type: 'file', mode: 0o644, data: json({ imageLayoutVersion: '1.0.0' }) },
    {
      name: 'index.json',
      type: 'file',
      mode: 0o644,
      data: json({
        schemaVersion: 2,
        manifests: [{ ...manifest, annotations, platform: { architecture, os: 'linux' } }],
      }),
    },
    { name: 'blobs/', type: 'directory', mode: 0o755 },
    { name: 'blobs/sha256/', type: 'directory', mode: 0o755 },
    ...blobs,
  ]);
}
