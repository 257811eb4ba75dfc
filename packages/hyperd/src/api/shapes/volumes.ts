import { type Static, Type } from 'typebox';
import type { Volume } from '../../volumes/index.ts';

export const VolumeShape = Type.Object({
  name: Type.String(),
  driver: Type.String(),
  mountpoint: Type.String(),
  labels: Type.Record(Type.String(), Type.String()),
  createdAt: Type.String({ description: 'RFC 3339' }),
  usedBy: Type.Array(Type.String()),
  sizeBytes: Type.Optional(Type.Integer()),
});

export const VolumeList = Type.Object({ volumes: Type.Array(VolumeShape) });

export const VolumePruneAnswer = Type.Object({
  Removed: Type.Array(Type.String()),
  SpaceReclaimed: Type.Integer(),
});

/** A named volume, with the pods that use it. */
export function volumeShape(
  { name, labels, createdAt, path }: Volume,
  users: readonly string[],
): Static<typeof VolumeShape> {
  return {
    ...{ name, driver: 'local', mountpoint: path, labels: { ...labels } },
    ...{ createdAt: createdAt.toISOString(), usedBy: [...users] },
  };
}
