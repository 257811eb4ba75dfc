import { type Static, Type } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';
import { HyperError, messageOf } from '../errors.ts';
import type { Digest } from '../ids.ts';
import type { ImageRunConfig } from './image-config.ts';

/** Media types of the OCI image-spec v1.1 and of Docker's schema 2. */
export const MEDIA = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
} as const;

export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
export const MAX_CONFIG_BYTES = 8 * 1024 * 1024;
const MAX_LAYERS = 1024;

const DigestText = Type.Unsafe<Digest>(Type.String({ pattern: '^sha256:[0-9a-f]{64}$' }));
const Text = Type.String({ maxLength: 65_536 });
const nullable = <T extends Parameters<typeof Type.Optional>[0]>(type: T) =>
  Type.Optional(Type.Union([type, Type.Null()]));

const DescriptorSchema = Type.Object({
  mediaType: nullable(Text),
  digest: DigestText,
  size: Type.Integer({ minimum: 0 }),
  annotations: nullable(Type.Record(Type.String(), Text)),
});
const PlatformSchema = Type.Object({
  architecture: Text,
  os: Text,
  variant: nullable(Text),
});
const IndexSchema = Type.Object({
  manifests: Type.Array(
    Type.Intersect([DescriptorSchema, Type.Object({ platform: nullable(PlatformSchema) })]),
    { maxItems: 4096 },
  ),
});
const ManifestSchema = Type.Object({
  mediaType: nullable(Text),
  config: DescriptorSchema,
  layers: Type.Array(DescriptorSchema, { maxItems: MAX_LAYERS }),
});
const Strings = Type.Array(Text, { maxItems: 65_536 });
const ConfigSchema = Type.Object({
  architecture: nullable(Text),
  os: nullable(Text),
  created: nullable(Text),
  author: nullable(Text),
  comment: nullable(Text),
  history: nullable(
    Type.Array(
      Type.Object({
        created: nullable(Text),
        created_by: nullable(Text),
        comment: nullable(Text),
        empty_layer: nullable(Type.Boolean()),
      }),
      { maxItems: 4096 },
    ),
  ),
  config: nullable(
    Type.Object({
      User: nullable(Text),
      Env: nullable(Strings),
      Entrypoint: nullable(Strings),
      Cmd: nullable(Strings),
      WorkingDir: nullable(Text),
      Volumes: nullable(Type.Record(Type.String(), Type.Unknown())),
      ExposedPorts: nullable(Type.Record(Type.String(), Type.Unknown())),
      Labels: nullable(Type.Record(Type.String(), Text)),
      StopSignal: nullable(Text),
    }),
  ),
  rootfs: Type.Object({ type: nullable(Text), diff_ids: Type.Array(DigestText, { maxItems: MAX_LAYERS }) }),
});

export type Descriptor = Static<typeof DescriptorSchema>;
export type Index = Static<typeof IndexSchema>;
export type Manifest = Static<typeof ManifestSchema>;
export type ImageConfig = Static<typeof ConfigSchema>;

const validators = {
  index: Compile(IndexSchema),
  manifest: Compile(ManifestSchema),
  config: Compile(ConfigSchema),
};

/** An image index or manifest, told apart by its media type and its members. Throws `corrupt` with what is wrong, `unsupported` for schema 1. */
export function parseIndexOrManifest(
  bytes: Uint8Array,
  what: string,
): { readonly index: Index } | { readonly manifest: Manifest } {
  const value = parseJson(bytes, MAX_MANIFEST_BYTES, what);
  if (isObject(value) && 'manifests' in value) return { index: check(validators.index, value, what) };
  if (isObject(value) && value.schemaVersion === 1)
    throw new HyperError(
      'unsupported',
      `read ${what}: Docker's manifest schema 1 is not supported; push the image again with a newer tool`,
    );
  return { manifest: check(validators.manifest, value, what) };
}

/** An image configuration (OCI image-spec, config.md). Throws `corrupt`. */
export function parseConfig(bytes: Uint8Array, what: string): ImageConfig {
  return check(validators.config, parseJson(bytes, MAX_CONFIG_BYTES, what), what);
}

/** The part that running needs, defaults filled in. */
export function runConfigOf({ config }: ImageConfig): ImageRunConfig {
  return {
    user: config?.User ?? '',
    env: config?.Env ?? [],
    entrypoint: config?.Entrypoint ?? [],
    cmd: config?.Cmd ?? [],
    workingDir: config?.WorkingDir ?? '',
    volumes: Object.keys(config?.Volumes ?? {}),
    exposedPorts: Object.keys(config?.ExposedPorts ?? {}),
    labels: config?.Labels ?? {},
    stopSignal: config?.StopSignal ?? '',
  };
}

function parseJson(bytes: Uint8Array, maxBytes: number, what: string): unknown {
  if (bytes.length > maxBytes)
    throw new HyperError('limit', `read ${what}: it has ${bytes.length} bytes, at most ${maxBytes} are read`);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new HyperError('corrupt', `read ${what}: ${messageOf(error)}`, { cause: error });
  }
}

function check<T>(validator: Validator, value: unknown, what: string): T {
  if (validator.Check(value)) return value as T;
  const [first] = validator.Errors(value);
  throw new HyperError(
    'corrupt',
    `read ${what}: at "${first?.instancePath ?? ''}": ${first?.message ?? 'it is not valid'}`,
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
