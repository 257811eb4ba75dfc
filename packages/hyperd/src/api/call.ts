import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { TSchema } from 'typebox';
import type { ClientStreams } from '../pods/pod-service.ts';
import type { ApiVersion } from './api-version.ts';
import type { StatusOverrides } from './error-status.ts';
import type { Parameters } from './parameters.ts';

/** One request, as a route sees it. */
export interface Call {
  readonly parameters: Parameters;
  /** Of the prefix `/v1.2/`; undefined without one. */
  readonly version: ApiVersion | undefined;
  readonly headers: IncomingHttpHeaders;
  /** Aborted when the client goes before its answer is complete, and when the server closes. */
  readonly signal: AbortSignal;
  /** The decoded body of a route that takes JSON; undefined when there is none. */
  readonly json: unknown;
  /** The unread body of a route with `body: 'stream'`; destroying it does not end the connection. */
  readonly body: Readable;
}

/** What a streamed answer is written to. The status line goes out with `open` or the first write. */
export interface AnswerStream {
  readonly isOpen: boolean;
  open(): void;
  /** Resolves when the connection can take more; rejects `canceled` when it is gone. */
  write(chunk: string | Uint8Array): Promise<void>;
}

export type Answer =
  | {
      readonly kind: 'json';
      readonly status: number;
      readonly value: unknown;
      readonly headers?: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'text'; readonly status: number; readonly text: string }
  | { readonly kind: 'empty'; readonly status: number }
  | {
      readonly kind: 'stream';
      readonly contentType: string;
      /** An error before the stream is open becomes an ordinary error answer. */
      readonly produce: (out: AnswerStream) => Promise<void>;
    };

/** How a session's process ended. */
export interface ProcessEnd {
  readonly exitCode: number;
  /** Why it could not be run, or was lost. */
  readonly message?: string;
}

/** A connection taken over for a process's input and output. */
export interface HijackedSession {
  /** Output in Docker's frames; false: raw bytes. */
  readonly framed: boolean;
  /** Ctrl-P Ctrl-Q end the session. */
  readonly detachKeys: boolean;
  /** Further headers of the 101 answer. */
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Resolves when the process has ended and its output is written, or the client has gone. An end that it resolves with is told in a last
   * frame.
   */
  run(client: ClientStreams): Promise<ProcessEnd | undefined> | Promise<void>;
}

/** A parameter of the query or form. What is no text is told by a helper of `describe.ts`. */
export interface ParameterDescription {
  readonly text: string;
  /** What its text stands for (default: text). `json`: a document of `schema`. */
  readonly type?: 'text' | 'flag' | 'integer' | 'json';
  readonly schema?: TSchema;
  /** An empty or missing one is refused before the route is asked. */
  readonly required?: boolean;
  readonly repeats?: boolean;
}

/** By name; further spellings stand behind a slash, several parameters of one meaning behind a comma. */
export type ParameterDescriptions = Readonly<Record<string, string | ParameterDescription>>;

export interface AnswerDescription {
  readonly text: string;
  /** Of its JSON. */
  readonly schema?: TSchema;
  /** Of one that is no JSON object or text. */
  readonly contentType?: string;
}

/** By status. A text alone begins with the status. */
export type AnswerDescriptions = string | Readonly<Record<number, string | AnswerDescription>>;

/** What documents tell of a route, and what is checked of a call before the route is asked. */
export interface RouteDescription {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** A part such as `{id}` is a parameter. */
  readonly path: string;
  /** Other paths that the original or its documents used. */
  readonly aliases?: readonly string[];
  readonly summary: string;
  readonly parameters: ParameterDescriptions;
  readonly answers: AnswerDescriptions;
  /** What its JSON body holds. */
  readonly bodySchema?: TSchema;
  /** Content type of its streamed body. */
  readonly bodyType?: string;
}

export type BodyKind = 'json' | 'json-of-any-type' | 'stream';

export interface PlainRoute extends RouteDescription {
  /** `json`: of the content type `application/json` or of none at all. */
  readonly body?: BodyKind;
  readonly statuses?: StatusOverrides;
  readonly handle: (call: Call) => Answer | Promise<Answer>;
  /** Calls whose query asks for it take the connection over instead. */
  readonly session?: SessionDescription;
}

/** How a route takes a connection over. */
export interface SessionDescription {
  /** Whether a call's query asks for it (default: it always does). */
  readonly asked?: (query: Parameters) => boolean;
  /** Looks up, or makes, what the session is about, and describes it; starts nothing. What it throws is answered with a status. */
  readonly open: (call: Call) => HijackedSession | Promise<HijackedSession>;
  /** Whether the client of a call that is refused expects no frames, as far as that can be told (default: it expects them). */
  readonly isRaw?: (query: Parameters, headers: IncomingHttpHeaders) => boolean;
}

export interface HijackRoute extends RouteDescription, SessionDescription {
  /** `json`: of the content type `application/json` or of none at all. */
  readonly body?: 'json';
}

export type Route = PlainRoute | HijackRoute;

/** A JSON object or struct. */
export function json(status: number, value: unknown): Answer {
  return { kind: 'json', status, value };
}

/** The original's flat object, whose keys come in alphabetical order. */
export function env(status: number, values: Readonly<Record<string, unknown>>): Answer {
  const entries = Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1));
  return json(status, Object.fromEntries(entries));
}

/** `ID`, `Code` 0 and no `Cause`: the answer of most actions on a pod. */
export function done(status: number, id: string): Answer {
  return env(status, { ID: id, Code: 0, Cause: '' });
}
