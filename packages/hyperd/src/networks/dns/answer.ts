import {
  type Answer,
  AUTHORITATIVE_ANSWER,
  decode,
  encode,
  RECURSION_AVAILABLE,
  RECURSION_DESIRED,
} from 'dns-packet';

/** Codes of RFC 1035, 4.1.1. */
export const RCODES = { none: 0, formatError: 1, serverFailure: 2, nameError: 3, refused: 5 } as const;
/** Names of pods come and go: nobody is to remember them. */
const TTL_S = 0;
const HEADER_BYTES = 12;

/** One question of a guest. */
export interface Query {
  readonly id: number;
  /** In lower case, without a dot at the end. */
  readonly name: string;
  readonly type: string;
  readonly wantsRecursion: boolean;
  /** As it was asked, to be repeated in the answer. */
  readonly question: Parameters<typeof encode>[0]['questions'];
}

/** What is known of pods to one that asks. */
export interface Names {
  /** Addresses of the pods that are so called. */
  addressesOf(name: string): readonly string[];
  /** What the pod at an address is called; undefined: no pod has it; null: it is an address of no network that these are of. */
  nameOf(address: string): string | undefined | null;
}

/** The query in what a guest has sent; a code of `RCODES` for what is to be answered with that; undefined for what is no query at all. */
export function parseQuery(message: Buffer): Query | number | undefined {
  if (message.length < HEADER_BYTES || (message[2] as number) & 0x80) return undefined; // an answer: never answered
  try {
    const {
      id = 0,
      questions = [],
      flags = 0,
      opcode,
    } = decode(message) as ReturnType<typeof decode> & {
      readonly opcode: string;
    };
    const [question] = questions;
    if (opcode !== 'QUERY' || !question || questions.length !== 1) return RCODES.formatError;
    if (question.class !== 'IN') return RCODES.refused;
    const name = question.name.toLowerCase();
    return {
      ...{ id, name, type: question.type, question: questions },
      wantsRecursion: (flags & RECURSION_DESIRED) !== 0,
    };
  } catch {
    return RCODES.formatError; // whatever the guest has put together
  }
}

/** The answer to what concerns pods; undefined for a query that is for the host's name servers. */
export function answerOf(query: Query, names: Names): Buffer | undefined {
  const addresses = names.addressesOf(query.name);
  if (addresses.length > 0) {
    const wanted = query.type === 'A' || query.type === 'ANY';
    return reply(
      query,
      RCODES.none,
      wanted ? addresses.map((data) => ({ ...common(query), type: 'A', data })) : [],
    );
  }
  const [, d, c, b, a] = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(query.name) ?? [];
  const name = a === undefined ? null : names.nameOf([a, b, c, d].join('.'));
  if (name !== null) {
    if (name === undefined) return reply(query, RCODES.nameError);
    return reply(
      query,
      RCODES.none,
      query.type === 'PTR' ? [{ ...common(query), type: 'PTR', data: name }] : [],
    );
  }
  // A name without a dot is a pod's or nobody's. The host's servers get it with its search list only.
  return query.name.includes('.') || query.name === '' ? undefined : reply(query, RCODES.nameError);
}

function common({ name }: Query): { readonly name: string; readonly ttl: number } {
  return { name, ttl: TTL_S };
}

/** An answer of ours. */
export function reply(
  { id, question = [], wantsRecursion }: Query,
  code: number,
  answers: Answer[] = [],
): Buffer {
  const flags = AUTHORITATIVE_ANSWER | RECURSION_AVAILABLE | (wantsRecursion ? RECURSION_DESIRED : 0) | code;
  return encode({ id, type: 'response', flags, questions: question, answers });
}

/** As `reply`, to what could not be read. */
export function bareReply(message: Buffer, code: number): Buffer {
  return encode({ id: message.readUInt16BE(0), type: 'response', flags: code });
}

/** Whether `answer` is one to `query` as it was sent on with the id `id`. */
export function isAnswerTo(answer: Buffer, query: Query, id: number): boolean {
  if (answer.length < HEADER_BYTES || answer.readUInt16BE(0) !== id || !((answer[2] as number) & 0x80))
    return false;
  try {
    const [question] = decode(answer).questions ?? [];
    return question?.name.toLowerCase() === query.name && question.type === query.type;
  } catch {
    return false; // whoever has sent it
  }
}

/** A server that cannot answer says so; the next one may. */
export function isFailure(answer: Buffer): boolean {
  const code = (answer[3] as number) & 0x0f;
  return code === RCODES.serverFailure || code === RCODES.refused;
}
