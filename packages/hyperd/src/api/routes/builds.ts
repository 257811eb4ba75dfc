import type { Readable } from 'node:stream';
import { Type } from 'typebox';
import type { BuildRequest } from '../../build/build-request.ts';
import type { BuildService } from '../../build/service.ts';
import { HyperError } from '../../errors.ts';
import type { RegistryAuth } from '../../images/image-service.ts';
import {
  type Answer,
  type AnswerStream,
  type Call,
  type HijackRoute,
  json,
  type PlainRoute,
  type Route,
} from '../call.ts';
import { flag, integer, jsonText, needed, ofSchema, repeated } from '../describe.ts';
import type { Parameters } from '../parameters.ts';
import { authOf } from '../registry-auth.ts';
import { parseJson, takeStart } from '../request-body.ts';
import { ProgressLine } from '../shapes/image-schemas.ts';
import { errorLine, progressLine } from '../shapes/progress.ts';
import type { RouteContext } from './context.ts';

const Texts = Type.Record(Type.String(), Type.String());
const Anything = Type.Object({});
const UNUSED = 'taken and not used: a step has a machine of its own';
/** Of all secrets of a build, as JSON of base64. */
const MAX_SECRETS_BYTES = 4 << 20;
const MAX_NAMES = 32;
/** Builds and ssh agents. */
const ID = /^[\w.-]{1,128}$/;
const MAX_STEP_TIMEOUT_S = 7 * 86_400;

/** Images made of Dockerfiles. */
export function buildRoutes({ builds }: RouteContext): Route[] {
  return [buildRoute(builds), agentRoute(builds), pruneRoute(builds)];
}

function buildRoute(builds: BuildService): PlainRoute {
  return {
    ...{ method: 'POST', path: '/image/build', body: 'stream', bodyType: 'application/tar' },
    summary:
      'Builds an image of a Dockerfile. The body is the context: a tar, plain, gzip, bzip2, xz or zstd. The header `X-Registry-Config` holds base64-encoded JSON of credentials by registry, for base images; `X-Build-Secrets` likewise secrets by id, each base64-encoded, for `RUN --mount=type=secret`; where they are too many for a header, `X-Build-Secrets-Length` is the length of their JSON, which the body begins with (4 MiB at most)',
    parameters: {
      't/name': repeated('name for the image; repeatable'),
      dockerfile: 'path of the Dockerfile in the context (default: `Dockerfile`)',
      remote:
        'in place of the body: a git repository (`URL#REF:DIRECTORY`), or the URL of a tar or a Dockerfile',
      q: flag('tell nothing but the id'),
      nocache: flag('run every step, whatever earlier builds have made'),
      pull: flag('pull base images also where they are there'),
      'rm, forcerm': flag('machines are removed in any case'),
      buildargs: jsonText('values for ARG', Texts),
      labels: jsonText('labels for the image', Texts),
      target: 'the stage to build, by name or number (default: the last one)',
      platform: '`OS/ARCHITECTURE[/VARIANT]` of base images (default: that of this host)',
      memory: integer("a machine's memory, in bytes (default: 512 MiB)"),
      'cpuquota, cpuperiod': integer(
        'their quotient, rounded up, is the number of CPUs of a machine (default: 1)',
      ),
      buildid: "an id of the client's choice, for /build/agent",
      ssh: repeated('name of an ssh agent that the client forwards, for `RUN --mount=type=ssh`; repeatable'),
      timeout: integer('seconds that a step may take (default: 3600)'),
      keep: flag('what a failed step has left becomes an image, to look into'),
      'memswap, cpushares, shmsize': integer(UNUSED),
      'cpusetcpus, cpusetmems, cgroupparent, isolation, networkmode': UNUSED,
      cachefrom: jsonText(
        'names of images, made here or elsewhere with the build argument `BUILDKIT_INLINE_CACHE=1`, whose steps serve as a cache; pulled where they are missing',
        Type.Array(Type.String()),
      ),
      ulimits: jsonText(UNUSED, Anything),
    },
    answers: {
      200: {
        text: "stream of Docker's progress messages: `stream` for steps and their output, one with `aux` whose `ID` is the image's, the last one an `error` where the build fails",
        ...{ schema: ProgressLine, contentType: 'application/json' },
      },
      400: 'a context, Dockerfile or parameter that is wrong',
    },
    handle: async (call) => {
      const request = await requestOf(call);
      return streamed((out) =>
        builds.build(request, (message) => out.write(progressLine(message)), call.signal),
      );
    },
  };
}

/** What is wrong before anything was told is an ordinary error. */
function streamed(work: (out: AnswerStream) => Promise<unknown>): Answer {
  return {
    ...{ kind: 'stream', contentType: 'application/json' },
    async produce(out) {
      try {
        await work(out);
      } catch (error) {
        if (!out.isOpen) throw error;
        await out.write(errorLine(error));
      }
    },
  };
}

/** The client's end of `RUN --mount=type=ssh`. */
function agentRoute(builds: BuildService): HijackRoute {
  return {
    ...{ method: 'POST', path: '/build/agent' },
    summary:
      "Leads a build to the client's ssh agent: whatever comes is for the agent, whatever it answers goes back. The client keeps one such connection open for each agent from before the build to its end, and opens the next as soon as bytes come on one",
    parameters: {
      buildid: needed('the id that the build has, or will have'),
      ssh: needed('name of the agent'),
    },
    answers: { 101: 'raw bytes' },
    isRaw: () => true,
    open: ({ parameters }) => {
      const [build, agent] = [idOf(parameters, 'buildid'), idOf(parameters, 'ssh')];
      return {
        ...{ framed: false, detachKeys: false },
        run: ({ input, signal, write }) =>
          builds.forwardAgent(build, agent, { input, signal, write: (bytes) => write('stdout', bytes) }),
      };
    },
  };
}

function idOf(parameters: Parameters, name: string): string {
  return checkedId(name, parameters.text(name));
}

function checkedId(name: string, text: string): string {
  if (ID.test(text)) return text;
  throw new HyperError(
    'invalid-argument',
    `read ${name} "${text.slice(0, 200)}": want at most 128 letters, digits, ".", "_", "-"`,
  );
}

async function requestOf({ parameters, headers, body }: Call): Promise<BuildRequest> {
  const text = (...names: string[]): string | undefined => parameters.text(...names).trim() || undefined;
  const timeout = parameters.integer('timeout');
  if (timeout !== undefined && (timeout < 1 || timeout > MAX_STEP_TIMEOUT_S))
    throw new HyperError(
      'invalid-argument',
      `read timeout ${timeout}: want 1 to ${MAX_STEP_TIMEOUT_S} seconds`,
    );
  const prelude = await preludeOf(body, headers['x-build-secrets-length']);
  return {
    ...{ body: prelude.rest, remote: text('remote'), dockerfile: text('dockerfile'), target: text('target') },
    ...(text('buildid') !== undefined && { id: idOf(parameters, 'buildid') }),
    agents: parameters.all('ssh').map((name) => checkedId('ssh', name)),
    names: [...parameters.all('t'), ...parameters.all('name')],
    args: new Map(Object.entries(textsOf(parameters, 'buildargs'))),
    labels: textsOf(parameters, 'labels'),
    platform: text('platform'),
    ...{ noCache: parameters.flag('nocache'), pull: parameters.flag('pull'), quiet: parameters.flag('q') },
    keepFailed: parameters.flag('keep'),
    cacheFrom: namesOf(parameters, 'cachefrom'),
    secrets: prelude.secrets ? secretsIn(parsed(prelude.secrets)) : secretsOf(headers['x-build-secrets']),
    auths: authsOf(headers['x-registry-config']),
    memoryBytes: parameters.integer('memory') || undefined,
    vcpus: vcpusOf(parameters),
    stepTimeoutMs: timeout === undefined ? undefined : timeout * 1000,
  };
}

function vcpusOf(parameters: Parameters): number | undefined {
  const quota = parameters.integer('cpuquota');
  const period = parameters.integer('cpuperiod') || 100_000;
  return quota && quota > 0 ? Math.ceil(quota / period) : undefined;
}

/** A JSON array of texts; Docker's clients send `null` as well. */
function namesOf(parameters: Parameters, name: string): string[] {
  const text = parameters.text(name).trim();
  const names = text === '' ? [] : (parseJson(text, name) ?? []);
  if (Array.isArray(names) && names.length <= MAX_NAMES && names.every((one) => typeof one === 'string'))
    return names.filter((one) => one !== '');
  throw new HyperError('invalid-argument', `read ${name}: want a JSON array of at most ${MAX_NAMES} names`);
}

/** A JSON object of texts; `null` is absent. */
function textsOf(parameters: Parameters, name: string): Record<string, string> {
  const text = parameters.text(name).trim();
  const object = text === '' ? {} : (parseJson(text, name) ?? {});
  if (typeof object !== 'object' || Array.isArray(object))
    throw new HyperError('invalid-argument', `read ${name}: want a JSON object`);
  const texts = Object.entries(object as Record<string, unknown>).filter(([, value]) => value !== null);
  const wrong = texts.find(([, value]) => typeof value !== 'string');
  if (wrong) throw new HyperError('invalid-argument', `read ${name}: the value of "${wrong[0]}" is no text`);
  return Object.fromEntries(texts) as Record<string, string>;
}

/** Docker's map of registry to credentials; what cannot be read is none, as in the original. */
function authsOf(header: string | readonly string[] | undefined): ReadonlyMap<string, RegistryAuth> {
  const auths = new Map<string, RegistryAuth>();
  for (const [server, value] of Object.entries(headerObject(header) ?? {})) {
    const auth = authOf(value);
    if (auth) auths.set(server, auth);
  }
  return auths;
}

function secretsOf(header: string | readonly string[] | undefined): ReadonlyMap<string, Buffer> {
  return header === undefined ? new Map() : secretsIn(headerObject(header));
}

/** Each secret is base64. */
function secretsIn(object: Record<string, unknown> | undefined): ReadonlyMap<string, Buffer> {
  if (!object) throw new HyperError('invalid-argument', 'read build secrets: want a JSON object');
  return new Map(
    Object.entries(object).map(([id, value]) => {
      if (typeof value === 'string') return [id, Buffer.from(value, 'base64')];
      throw new HyperError('invalid-argument', `read build secrets: secret "${id}" is no text`);
    }),
  );
}

/** The secrets that the body begins with, where a header tells their length, and what is left of the body. */
async function preludeOf(
  body: Readable,
  length: string | readonly string[] | undefined,
): Promise<{ readonly secrets?: Buffer; readonly rest: AsyncIterable<Uint8Array> }> {
  if (length === undefined) return { rest: body };
  const size = Number(length);
  if (!Number.isInteger(size) || size < 0 || size > MAX_SECRETS_BYTES)
    throw new HyperError(
      'invalid-argument',
      `read X-Build-Secrets-Length "${length}": want a number of bytes, at most ${MAX_SECRETS_BYTES}`,
    );
  const { start, rest } = await takeStart(body, size);
  return { secrets: start, rest };
}

function headerObject(header: string | readonly string[] | undefined): Record<string, unknown> | undefined {
  if (typeof header !== 'string' || header === '') return undefined;
  return parsed(Buffer.from(header, 'base64'));
}

/** undefined: it is no JSON object. */
function parsed(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // told by whoever needs it
  }
}

function pruneRoute(builds: BuildService): PlainRoute {
  return {
    ...{ method: 'POST', path: '/build/prune' },
    summary: 'Forgets what steps of earlier builds have made: what is old or too much, or all',
    parameters: {
      all: flag('all of it, and the caches of `RUN --mount=type=cache`'),
      'keep-storage': integer('bytes that may stay; what was used last stays'),
    },
    answers: {
      200: ofSchema(
        Type.Object({ Removed: Type.Integer(), SpaceReclaimed: Type.Integer() }),
        'steps that are forgotten, and bytes of disk that are free again',
      ),
    },
    handle: async ({ parameters }) => {
      const maxBytes = parameters.integer('keep-storage');
      const { steps, reclaimedBytes } = await builds.prune({
        all: parameters.flag('all'),
        ...(maxBytes !== undefined && { maxBytes }),
      });
      return json(200, { Removed: steps, SpaceReclaimed: reclaimedBytes });
    },
  };
}
