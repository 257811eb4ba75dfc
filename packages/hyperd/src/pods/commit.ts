import { type Static, Type } from 'typebox';
import { HyperError } from '../errors.ts';
import { toldOf } from '../host-failure.ts';
import type { Digest } from '../ids.ts';
import { applyChanges, type ConfigDraft } from '../images/changes.ts';
import type { ImageService } from '../images/image-service.ts';
import { parseReference } from '../images/reference.ts';
import type { Container } from './container.ts';
import type { Pod } from './pod.ts';
import type { ContainerSpec } from './spec/pod-spec.ts';
import { readJson } from './spec/read-json.ts';

const Strings = Type.Array(Type.String(), { maxItems: 65_536 });
const Objects = Type.Record(Type.String(), Type.Object({}));
/** What counts of Docker's container configuration. */
const ConfigSchema = Type.Object({
  ...{ User: Type.Optional(Type.String()), WorkingDir: Type.Optional(Type.String()) },
  ...{
    StopSignal: Type.Optional(Type.String()),
    Labels: Type.Optional(Type.Record(Type.String(), Type.String())),
  },
  ...{ Env: Type.Optional(Strings), Cmd: Type.Optional(Strings), Entrypoint: Type.Optional(Strings) },
  ...{ OnBuild: Type.Optional(Strings), Shell: Type.Optional(Strings) },
  ...{ ExposedPorts: Type.Optional(Objects), Volumes: Type.Optional(Objects) },
});
export type CommitConfig = Static<typeof ConfigSchema>;

export interface CommitOptions {
  /** Name for the image; it has none otherwise. */
  readonly reference?: string;
  readonly author?: string;
  readonly message?: string;
  /** The container stands still while its files are read. */
  readonly pause?: boolean;
  /** Dockerfile instructions for the image's configuration. */
  readonly changes?: readonly string[];
  /** Goes before what the container's own configuration says. */
  readonly config?: CommitConfig;
  readonly signal?: AbortSignal;
}

/** Docker's container configuration as a client sends it: keys in any case, unknown ones ignored. Throws `invalid-spec`. */
export function parseCommitConfig(json: unknown): CommitConfig {
  return readJson(ConfigSchema, json ?? {}, 'config');
}

/** Makes an image of a container: its image's layers, and one of what it has changed, with its configuration. Nothing is left of one that fails. */
export async function commitContainer(
  pod: Pod,
  container: Container,
  images: ImageService,
  options: CommitOptions,
): Promise<Digest> {
  try {
    return await makeImage(pod, container, images, options);
  } catch (error) {
    await images.collectGarbage().catch(() => undefined); // else the next collection gets it
    throw toldOf(error, `commit container "${container.record.name}"`);
  }
}

async function makeImage(
  pod: Pod,
  container: Container,
  images: ImageService,
  options: CommitOptions,
): Promise<Digest> {
  const { record } = container;
  const { author, message, reference, signal, changes = [] } = options;
  if (reference) parseReference(reference); // refused before anything is done
  await using assembly = images.assemble();
  const base = await assembly.image(record.imageId);
  const given = givenOver(
    options.config ?? {},
    configOf(base.config.config as ConfigDraft | null, record.spec),
  );
  const config = applyChanges(given, changes);
  const what = `commit container "${record.name}"`;
  // What has never been started has changed nothing.
  const layer =
    record.state.phase === 'pending'
      ? undefined
      : await pod.changes(container, (tar) => assembly.takeLayer(tar, { what }), {
          pause: options.pause ?? false,
          ...(signal && { signal }),
        });
  if (signal?.aborted) throw new HyperError('canceled', `${what}: canceled`);
  const created = new Date().toISOString();
  const isEmpty = layer === undefined || layer.isEmpty;
  const told = {
    created,
    created_by: record.run.args.join(' '),
    ...(author && { author }),
    ...(message && { comment: message }),
  };
  const { history = [] } = base.config as { history?: readonly object[] | null };
  const document = {
    ...base.config,
    ...{ created, config, author: author ?? '', comment: message ?? '' },
    history: [...(history ?? []), { ...told, ...(isEmpty && { empty_layer: true }) }],
  };
  const layers = layer && !isEmpty ? [...base.layers, layer] : base.layers;
  return await assembly.finish(document, layers, reference ? [reference] : []); // what it holds is let go of after that
}

/** An image's configuration with what the container's specification says otherwise. */
function configOf(image: ConfigDraft | null | undefined, spec: ContainerSpec): ConfigDraft {
  const config: ConfigDraft = { ...image };
  if (spec.entrypoint.length > 0)
    Object.assign(config, { Entrypoint: [...spec.entrypoint], Cmd: [...spec.command] });
  else if (spec.command.length > 0) config.Cmd = [...spec.command];
  if (spec.envs.length > 0)
    config.Env = envOver(
      spec.envs.map(({ env, value }) => `${env}=${value}`),
      config.Env ?? [],
    );
  if (spec.workdir) config.WorkingDir = spec.workdir;
  if (spec.user.name) config.User = spec.user.group ? `${spec.user.name}:${spec.user.group}` : spec.user.name;
  if (spec.stopSignal) config.StopSignal = spec.stopSignal;
  if (Object.keys(spec.labels).length > 0) config.Labels = { ...config.Labels, ...spec.labels };
  return config;
}

/** As Docker puts them together: lists of names are joined, a given entrypoint drops the command below. */
function givenOver(given: CommitConfig, config: ConfigDraft): ConfigDraft {
  const { Env, Labels, ExposedPorts, Volumes, Entrypoint, Cmd, ...others } = given;
  const merged: ConfigDraft = { ...config };
  for (const [key, value] of Object.entries(others)) if (value.length > 0) merged[key] = value;
  if (Env?.length) merged.Env = envOver(Env, config.Env ?? []);
  if (Labels) merged.Labels = { ...config.Labels, ...Labels };
  if (ExposedPorts) merged.ExposedPorts = { ...config.ExposedPorts, ...ExposedPorts };
  if (Volumes) merged.Volumes = { ...config.Volumes, ...Volumes };
  if (Entrypoint?.length) Object.assign(merged, { Entrypoint, Cmd: Cmd ?? [] });
  else if (Cmd?.length) merged.Cmd = Cmd;
  return merged;
}

function envOver(given: readonly string[], below: readonly string[]): string[] {
  const merged = new Map([...below, ...given].map((text) => [text.split('=', 1)[0] ?? '', text]));
  return [...merged.values()];
}
