import { HyperError } from '../errors.ts';
import { type Descriptor, MAX_CONFIG_BYTES, MEDIA, parseConfig } from '../oci/documents.ts';
import { chainIdOf, digestOf } from './digest.ts';
import type { StoredImage } from './image-files.ts';
import type { ContentStore } from './store/content-store.ts';
import type { HoldSet } from './store/holds.ts';

/** Writes the configuration and the manifest of an image whose layers are in the store. Throws `invalid-argument` where the configuration is too large. */
export async function writeImage(
  config: object,
  layers: readonly Descriptor[],
  { store, held, what }: { readonly store: ContentStore; readonly held: HoldSet; readonly what: string },
): Promise<StoredImage> {
  const configBytes = Buffer.from(JSON.stringify(config));
  if (configBytes.length > MAX_CONFIG_BYTES)
    throw new HyperError(
      'invalid-argument',
      `${what}: its configuration has ${configBytes.length} bytes, at most ${MAX_CONFIG_BYTES} are allowed`,
    );
  const id = digestOf(configBytes);
  const manifest = {
    ...{ schemaVersion: 2, mediaType: MEDIA.ociManifest },
    config: { mediaType: MEDIA.ociConfig, digest: id, size: configBytes.length },
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  const manifestDigest = digestOf(bytes);
  for (const [digest, content] of [[id, configBytes] as const, [manifestDigest, bytes] as const]) {
    await held.hold(digest);
    await store.write(digest, content);
  }
  const parsed = parseConfig(configBytes, 'configuration');
  return { id, manifestDigest, manifest, config: parsed, chainId: chainIdOf(parsed.rootfs.diff_ids) };
}
