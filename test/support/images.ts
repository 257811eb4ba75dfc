import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { TarType } from '../../packages/hyperd/src/tar/tar-scanner.ts';
import { TAR_END, tarHeader, tarPadding } from '../../packages/hyperd/src/tar/tar-writer.ts';
import type { TestDaemon } from './daemon.ts';

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

export interface SampleImage {
  readonly layers: readonly (readonly LayerEntry[])[];
  readonly config?: Record<string, unknown>;
  readonly compression?: 'gzip' | 'zstd' | 'none';
  /** What the layout calls it (default: latest). */
  readonly ref?: string;
  /** Media types that it claims. */
  readonly layerType?: string;
  readonly configType?: string;
  /** What is wrong with it: a diff id of zeros, a layer blob changed behind its digest's back, or a layer that is cut and has the digest of that. */
  readonly damage?: 'diffId' | 'blob' | 'truncated';
}

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** The files of an OCI image layout of one image. */
export function layoutFiles(image: SampleImage): Map<string, Buffer> {
  const { layers, config = {}, compression = 'gzip', ref = 'latest', damage } = image;
  const files = new Map<string, Buffer>();
  const add = (mediaType: string, bytes: Buffer, stored = bytes) => {
    files.set(`blobs/sha256/${sha256(bytes)}`, stored);
    return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length };
  };
  const tars = layers.map(layerTar);
  const [compress, suffix] = {
    gzip: [gzipSync, '+gzip'] as const,
    zstd: [zstdCompressSync, '+zstd'] as const,
    none: [(bytes: Buffer): Buffer => bytes, ''] as const,
  }[compression];
  const diffIds = tars.map((bytes) => `sha256:${damage === 'diffId' ? '0'.repeat(64) : sha256(bytes)}`);
  const blobOf = (tar: Buffer) => {
    const whole = compress(tar);
    const bytes = damage === 'truncated' ? whole.subarray(0, Math.floor(whole.length / 2)) : whole;
    const stored = damage === 'blob' ? Buffer.alloc(bytes.length, 1) : bytes;
    return add(image.layerType ?? `application/vnd.oci.image.layer.v1.tar${suffix}`, bytes, stored);
  };
  const configBytes = json({
    ...{ architecture: 'amd64', os: 'linux', created: '2020-01-01T00:00:00Z' },
    config: { Env: ['PATH=/bin'], Cmd: ['sh'], ...config },
    rootfs: { type: 'layers', diff_ids: diffIds },
  });
  const manifest = add(
    MANIFEST_TYPE,
    json({
      ...{ schemaVersion: 2, mediaType: MANIFEST_TYPE },
      config: add(image.configType ?? 'application/vnd.oci.image.config.v1+json', configBytes),
      layers: tars.map(blobOf),
    }),
  );
  const annotations = { 'org.opencontainers.image.ref.name': ref };
  files.set('oci-layout', json({ imageLayoutVersion: '1.0.0' }));
  files.set('index.json', json({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }));
  return files;
}

/** Writes an OCI image layout to `directory`. */
export function makeImage(directory: string, image: SampleImage): void {
  mkdirSync(join(directory, 'blobs/sha256'), { recursive: true });
  for (const [name, bytes] of layoutFiles(image)) writeFileSync(join(directory, name), bytes);
}

/** An OCI image layout as a tar. */
export function layoutArchive(image: SampleImage): Buffer {
  const files = [...layoutFiles(image)];
  return layerTar(files.map(([name, bytes]) => ({ name, type: 'file', data: bytes.toString('latin1') })));
}

/** Has a daemon load an image under a name, from the file `path`, which is written for it. Resolves with the path. */
export async function loadImage(
  daemon: TestDaemon,
  { path, name, image }: { readonly path: string; readonly name: string; readonly image: SampleImage },
): Promise<string> {
  writeFileSync(path, layoutArchive(image));
  const { code, stderr } = await daemon.hyperctl(['load', '-q', '-i', path, '-n', name]);
  if (code !== 0) throw new Error(`load ${name}: ${stderr}`);
  return path;
}
