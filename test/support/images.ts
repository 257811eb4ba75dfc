import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { TarType } from '../../packages/hyperd/src/images/layers/tar-scanner.ts';
import { TAR_END, tarHeader, tarPadding } from '../../packages/hyperd/src/images/layers/tar-writer.ts';

/** An entry of a layer; names and contents are bytes in latin1. */
export interface LayerEntry {
  readonly name: string;
  readonly type: TarType;
  readonly data?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly linkName?: string;
  readonly deviceMajor?: number;
  readonly deviceMinor?: number;
  readonly xattrs?: ReadonlyMap<string, string>;
}

const APPLETS = [
  'sh',
  'cat',
  'echo',
  'ls',
  'id',
  'pwd',
  'stat',
  'sleep',
  'od',
  'grep',
  'readlink',
  'env',
  'wc',
];

/** The least that runs: Debian's static busybox with a few of its names. */
export function busyboxLayer(): LayerEntry[] {
  return [
    { name: 'bin', type: 'directory', mode: 0o755 },
    { name: 'bin/busybox', type: 'file', mode: 0o755, data: readFileSync('/bin/busybox', 'latin1') },
    ...APPLETS.map((name): LayerEntry => ({ name: `bin/${name}`, type: 'symlink', linkName: 'busybox' })),
  ];
}

export function layerTar(entries: readonly LayerEntry[]): Buffer {
  const parts = entries.flatMap(({ data = '', ...entry }) => {
    const bytes = Buffer.from(data, 'latin1');
    const header = tarHeader({
      ...{ mode: entry.type === 'directory' ? 0o755 : 0o644, uid: 0, gid: 0, mtime: 0, linkName: '' },
      ...{ deviceMajor: 0, deviceMinor: 0, xattrs: new Map(), ...entry, sizeBytes: bytes.length },
    });
    return [header, bytes, tarPadding(bytes.length)];
  });
  return Buffer.concat([...parts, TAR_END]);
}

/** Writes an OCI image layout to `directory`, its one image named `latest`. */
export function makeImage(
  directory: string,
  {
    layers,
    config = {},
    compression = 'gzip',
  }: {
    readonly layers: readonly (readonly LayerEntry[])[];
    readonly config?: Record<string, unknown>;
    readonly compression?: 'gzip' | 'zstd' | 'none';
  },
): void {
  const blobs = join(directory, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const add = (mediaType: string, bytes: Buffer) => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(join(blobs, hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const tars = layers.map(layerTar);
  const [compress, suffix] = {
    gzip: [gzipSync, '+gzip'] as const,
    zstd: [zstdCompressSync, '+zstd'] as const,
    none: [(bytes: Buffer): Buffer => bytes, ''] as const,
  }[compression];
  const diffIds = tars.map((bytes) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`);
  const manifestType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = add(
    manifestType,
    json({
      schemaVersion: 2,
      mediaType: manifestType,
      config: add(
        'application/vnd.oci.image.config.v1+json',
        json({
          ...{ architecture: 'amd64', os: 'linux', created: '2020-01-01T00:00:00Z' },
          config: { Env: ['PATH=/bin'], Cmd: ['sh'], ...config },
          rootfs: { type: 'layers', diff_ids: diffIds },
        }),
      ),
      layers: tars.map((bytes) => add(`application/vnd.oci.image.layer.v1.tar${suffix}`, compress(bytes))),
    }),
  );
  writeFileSync(join(directory, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
  const annotations = { 'org.opencontainers.image.ref.name': 'latest' };
  writeFileSync(
    join(directory, 'index.json'),
    json({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
}
