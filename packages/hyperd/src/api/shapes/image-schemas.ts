import { Type } from 'typebox';

/** The JSON of the answers about images; see `schemas.ts`. */
const text = Type.Optional(Type.String());
const texts = Type.Array(Type.String());
const count = Type.Integer();

export const ImageFilters = Type.Record(Type.String(), Type.Unknown());

export const References = Type.Record(Type.String(), Type.String());

export const ImageStrings = Type.Object({
  imagesList: Type.Array(Type.String({ description: 'repository:tag:id:created:size' })),
});

export const ImageRemovals = Type.Object({
  imagesList: Type.Array(Type.Object({ untaged: text, deleted: text })),
});

export const ImageUsages = Type.Array(
  Type.Object({
    Id: Type.String(),
    RepoTags: texts,
    RepoDigests: texts,
    Created: Type.Integer({ description: 'seconds since the epoch' }),
    Size: Type.Integer({ description: 'bytes of the layers, uncompressed' }),
    SharedSize: Type.Integer({ description: 'bytes on disk that other images use as well' }),
    UniqueSize: count,
    Labels: Type.Record(Type.String(), Type.String()),
  }),
);

export const ImageInfo = Type.Object({
  Id: Type.String(),
  RepoTags: texts,
  RepoDigests: texts,
  Created: Type.String({ format: 'date-time' }),
  Author: text,
  Comment: text,
  Architecture: Type.String(),
  Os: Type.String(),
  Size: count,
  Config: Type.Object({}, { description: 'as in the configuration of the image' }),
  RootFS: Type.Object({ Type: Type.String(), Layers: texts }),
  ManifestDigest: Type.String(),
});

export const ImageHistory = Type.Array(
  Type.Object({
    Id: Type.String(),
    Created: count,
    CreatedBy: Type.String(),
    Tags: texts,
    Size: count,
    Comment: text,
  }),
);

export const PruneAnswer = Type.Object({
  Removed: Type.Array(Type.Object({ Untagged: text, Deleted: text })),
  SpaceReclaimed: Type.Integer({ description: 'bytes of disk' }),
});

export const LoginAnswer = Type.Object({ Status: Type.String() });

/** One line of a stream of progress. */
export const ProgressLine = Type.Object({
  stream: text,
  status: text,
  id: text,
  progressDetail: Type.Optional(Type.Object({ current: Type.Optional(count), total: Type.Optional(count) })),
  progress: text,
  aux: Type.Optional(Type.Object({})),
  error: text,
  errorDetail: Type.Optional(Type.Object({ code: Type.Optional(count), message: text })),
});

/** Docker's AuthConfig. */
export const RegistryCredentials = Type.Object({
  username: text,
  password: text,
  auth: Type.Optional(Type.String({ description: 'base64 of `username:password`, in place of both' })),
  email: text,
  serveraddress: text,
  identitytoken: text,
  registrytoken: text,
});
