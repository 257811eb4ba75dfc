import { Type } from 'typebox';
import { HyperError } from '../../errors.ts';
import { type Call, done, json, type Route } from '../call.ts';
import { jsonText, needed, ofSchema } from '../describe.ts';
import { parseJson } from '../request-body.ts';
import { ActionAnswer } from '../shapes/schemas.ts';
import { VolumeList, VolumePruneAnswer, VolumeShape, volumeShape } from '../shapes/volumes.ts';
import type { RouteContext } from './context.ts';

const NAME = { 'volumeName/name': needed('name of the volume') };
const UNKNOWN = 'unknown volume';

/** Volumes that have a name and outlive pods. */
export function volumeRoutes({ volumes, pods }: RouteContext): Route[] {
  const usersOf = (name: string): readonly string[] => pods.podsOfVolume(name);
  return [
    {
      ...{ method: 'GET', path: '/volume/list', parameters: {} },
      summary: 'Lists named volumes, by name',
      answers: { 200: ofSchema(VolumeList, '`volumes`: list of what `/volume/info` tells') },
      handle: () =>
        json(200, { volumes: volumes.named.list().map((each) => volumeShape(each, usersOf(each.name))) }),
    },
    {
      ...{ method: 'GET', path: '/volume/info', parameters: NAME },
      summary: 'Tells all about a named volume',
      answers: {
        200: ofSchema(
          VolumeShape,
          '`name`, `driver`, `mountpoint` (on the host), `labels`, `createdAt`, `usedBy` (ids of pods, running or not), `sizeBytes` (on the disk)',
        ),
        404: UNKNOWN,
      },
      handle: async (call) => {
        const volume = volumes.named.find(nameOf(call));
        const sizeBytes = await volumes.named.size(volume.name);
        return json(200, { ...volumeShape(volume, usersOf(volume.name)), sizeBytes });
      },
    },
    {
      ...{ method: 'POST', path: '/volume/create' },
      summary: 'Makes a named volume; pods make theirs by themselves',
      parameters: {
        ...NAME,
        labels: jsonText('JSON object of texts', Type.Record(Type.String(), Type.String())),
        driver: '`local`, the only one (default)',
      },
      answers: {
        201: ofSchema(ActionAnswer, '`ID` (the name), `Code`, `Cause`'),
        409: 'there is one of that name',
      },
      handle: async (call) => {
        requireLocal(call.parameters.text('driver'));
        const { name } = await volumes.named.create(nameOf(call), labelsOf(call));
        return done(201, name);
      },
    },
    {
      ...{ method: 'DELETE', path: '/volume', parameters: NAME },
      summary: 'Removes a named volume with all that is in it',
      answers: {
        200: ofSchema(ActionAnswer, '`ID` (the name), `Code`, `Cause`'),
        404: UNKNOWN,
        409: 'a pod uses it',
      },
      handle: async (call) => {
        const name = nameOf(call);
        await volumes.named.remove(name, usersOf);
        return done(200, name);
      },
    },
    {
      ...{ method: 'POST', path: '/volume/prune', parameters: {} },
      summary: 'Removes all named volumes that no pod uses',
      answers: { 200: ofSchema(VolumePruneAnswer, '`Removed`: names; `SpaceReclaimed`: bytes of disk') },
      handle: async () => {
        const { removed, bytes } = await volumes.named.prune(usersOf);
        return json(200, { Removed: removed, SpaceReclaimed: bytes });
      },
    },
  ];
}

function nameOf({ parameters }: Call): string {
  return parameters.text('volumeName', 'name');
}

function labelsOf({ parameters }: Call): Record<string, string> {
  const text = parameters.text('labels');
  const labels = text === '' ? {} : parseJson(text, 'labels');
  if (typeof labels === 'object' && labels !== null && !Array.isArray(labels)) {
    const entries = Object.entries(labels as Record<string, unknown>);
    if (entries.every(([, value]) => typeof value === 'string'))
      return Object.fromEntries(entries) as Record<string, string>;
  }
  throw new HyperError(
    'invalid-argument',
    `create volume: labels are "${text.slice(0, 200)}", want a JSON object of texts`,
  );
}

function requireLocal(driver: string): void {
  if (driver === '' || driver === 'local') return;
  throw new HyperError('unsupported', `create volume: driver "${driver}" is not supported; want "local"`);
}
