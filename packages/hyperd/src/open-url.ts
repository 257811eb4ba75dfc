import { Readable } from 'node:stream';
import { EnvHttpProxyAgent, request } from 'undici';
import { HyperError, messageOf } from './errors.ts';

const CONNECT_TIMEOUT_MS = 15_000;
const IDLE_TIMEOUT_MS = 60_000;
const MAX_REDIRECTS = 5;

/** The body of an http(s) URL, redirects followed. Whoever gets it destroys it. Throws `invalid-argument`, `not-found`, `unavailable`, `canceled`. */
export async function openUrl(text: string, signal?: AbortSignal): Promise<Readable> {
  let url = parseUrl(text);
  const dispatcher = new EnvHttpProxyAgent({
    ...{
      connect: { timeout: CONNECT_TIMEOUT_MS },
      headersTimeout: IDLE_TIMEOUT_MS,
      bodyTimeout: IDLE_TIMEOUT_MS,
    },
  });
  try {
    for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
      const { statusCode, headers, body } = await request(url, { dispatcher, ...(signal && { signal }) });
      const { location } = headers;
      if (statusCode >= 300 && statusCode < 400 && typeof location === 'string') {
        await body.dump();
        url = parseUrl(new URL(location, url).href);
        continue;
      }
      if (statusCode === 200) {
        body.once('close', () => void dispatcher.close());
        return Readable.from(body as AsyncIterable<Buffer>, { objectMode: false });
      }
      await body.dump();
      throw new HyperError(
        statusCode === 404 ? 'not-found' : 'unavailable',
        `read ${text}: the server answers ${statusCode}`,
      );
    }
    throw new HyperError('unavailable', `read ${text}: more than ${MAX_REDIRECTS} redirects`);
  } catch (error) {
    await dispatcher.destroy();
    if (error instanceof HyperError) throw error;
    throw new HyperError(signal?.aborted ? 'canceled' : 'unavailable', `read ${text}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function parseUrl(text: string): URL {
  const url = URL.parse(text);
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url;
  throw new HyperError(
    'invalid-argument',
    `read "${text.slice(0, 300)}": want a URL with http:// or https://`,
  );
}
