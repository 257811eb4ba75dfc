import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
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
  /** The decoded JSON body of a route with `body: 'json'`; undefined when there is none. */
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
  | { readonly kind: 'json'; readonly status: number; readonly value: unknown }
  | { readonly kind: 'text'; readonly status: number; readonly text: string }
  | { readonly kind: 'empty'; readonly status: number }
  | {
      readonly kind: 'stream';
      readonly contentType: string;
      /** An error before the stream is open becomes an ordinary error answer. */
      readonly produce: (out: AnswerStream) => Promise<void>;
    };

/** A connection taken over for a process's input and output. */
export interface HijackedSession {
  /** Output in Docker's frames; false: raw bytes. */
  readonly framed: boolean;
  /** Ctrl-P Ctrl-Q end the session. */
  readonly detachKeys: boolean;
  /** Further headers of the 101 answer. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Resolves when the process has ended and its output is written, or the client has gone. */
  run(client: ClientStreams): Promise<void>;
}

interface RouteDescription {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** A part such as `{id}` is a parameter. */
  readonly path: string;
  /** Other paths that the original or its documents used. */
  readonly aliases?: readonly string[];
  readonly summary: string;
  /** Name and meaning, for the document; further spellings stand behind a slash. */
  readonly parameters: Readonly<Record<string, string>>;
  /** What a success answers, for the document. */
  readonly answers: string;
}

export interface PlainRoute extends RouteDescription {
  readonly body?: 'json' | 'stream';
  readonly statuses?: StatusOverrides;
  readonly handle: (call: Call) => Answer | Promise<Answer>;
}

export interface HijackRoute extends RouteDescription {
  /** Looks up and describes the session; starts nothing. */
  readonly open: (call: Call) => HijackedSession;
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
