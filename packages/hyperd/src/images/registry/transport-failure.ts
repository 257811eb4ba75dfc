import { messageOf } from '../../errors.ts';
import { printable } from './answers.ts';
import { Failure, LocalFailure } from './failure.ts';

/** What a connection led to. */
export interface Way {
  readonly url: URL;
  readonly proxy: URL | undefined;
  /** Of certificates, for a connection with TLS. */
  readonly authorities: string | undefined;
}

/** Nobody is there: waiting a few seconds mends none of these. */
const ABSENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'UND_ERR_INVALID_ARG',
  'UND_ERR_DESTROYED',
  'UND_ERR_CLOSED',
]);
const TLS_CODE =
  /^(?:ERR_TLS_|ERR_SSL_|CERT_|CRL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|HOSTNAME_MISMATCH|EPROTO$|UND_ERR_PRX_TLS$)/;

/** The Failure that an error of a connection stands for; Failures and our own side's errors stay what they are. */
export function transportFailure(error: unknown, way: Way): Failure | LocalFailure {
  if (error instanceof Failure || error instanceof LocalFailure) return error;
  const { url, proxy, authorities } = way;
  const codes = codesOf(error);
  const where = `${url.host}${proxy ? ` by proxy ${proxy.host}` : ''}`;
  const words = wordsOf(error);
  const local = chainOf(error).find((cause) => cause instanceof LocalFailure);
  if (local) return local;
  if (authorities !== undefined && codes.some((code) => TLS_CODE.test(code)))
    return new Failure('unavailable', `TLS with ${where}: ${words}; authorities believed: ${authorities}`, {
      cause: error,
    });
  const refusedByProxy = /^Proxy response \((\d+)\)/.exec(messageOf(error))?.[1];
  if (refusedByProxy !== undefined && proxy) {
    const retry = Number(refusedByProxy) >= 500 ? 'soon' : 'never';
    return new Failure('unavailable', `proxy ${proxy.host} answers ${refusedByProxy} for ${url.host}`, {
      retry,
      cause: error,
    });
  }
  const retry = codes.some((code) => ABSENT.has(code)) ? 'never' : 'soon';
  return new Failure('unavailable', `${where}: ${words}`, { retry, cause: error });
}

function chainOf(error: unknown): unknown[] {
  const chain: unknown[] = [];
  for (let at = error; at instanceof Error && chain.length < 8; at = at.cause) chain.push(at);
  return chain;
}

function codesOf(error: unknown): string[] {
  return chainOf(error)
    .map((cause) => (cause as { code?: unknown }).code)
    .filter((code) => typeof code === 'string');
}

/** The message that says most: of several addresses that were tried, those of each. */
function wordsOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0)
    return printable(error.errors.map(messageOf).join(', '));
  return printable(messageOf(error)) || codesOf(error).join(', ') || 'the connection failed';
}
