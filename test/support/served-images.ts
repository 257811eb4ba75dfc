import type { IncomingMessage, ServerResponse } from 'node:http';
import { layoutFiles, type SampleImage } from './images.ts';

type Descriptor = { readonly mediaType: string; readonly digest: string; readonly size: number };

/** Serves images below any name: `describe` makes the answer for a tag of their manifests, one descriptor or the entries of an index. */
export function serve(
  images: readonly SampleImage[],
  describe: (manifests: readonly Descriptor[]) => unknown,
) {
  const all = new Map<string, Buffer>();
  const manifests = images.map((image): Descriptor => {
    const files = layoutFiles(image);
    for (const [name, bytes] of files) all.set(name.replace('blobs/sha256/', 'sha256:'), bytes);
    return JSON.parse(String(files.get('index.json'))).manifests[0] as Descriptor;
  });
  const described = describe(manifests);
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: described,
  };
  const tagged = Array.isArray(described)
    ? Buffer.from(JSON.stringify(index))
    : all.get((described as Descriptor).digest);
  return (request: IncomingMessage, response: ServerResponse): void => {
    const [, kind, name = ''] = /\/(manifests|blobs)\/([^/]+)$/.exec(request.url ?? '') ?? [];
    const bytes = kind === 'manifests' && !name.startsWith('sha256:') ? tagged : all.get(name);
    if (!bytes) response.writeHead(404).end();
    else response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
  };
}
