// Calls of both daemons' APIs on their unix sockets, on connections that stay open.
import { Agent, request } from 'node:http';

const CALL_TIMEOUT_MS = 300_000;
const agent = new Agent({ keepAlive: true, maxSockets: 128 });

export const socketOf = (url) => url.replace('unix://', '');

/** Resolves with the answer's JSON, or text; rejects with the answer's text where it is an error. */
export function call(socketPath, method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
    const options = { socketPath, method, path, headers, agent, timeout: CALL_TIMEOUT_MS };
    const sent = request(options, async (response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      if (response.statusCode >= 400) reject(new Error(`${method} ${path}: ${response.statusCode} ${text}`));
      else resolve(jsonOf(text));
    });
    sent.once('timeout', () => sent.destroy(new Error(`${method} ${path}: no answer`)));
    sent.once('error', (error) => {
      // A connection that was idle for long may have been closed meanwhile.
      const isStale = sent.reusedSocket && ['EPIPE', 'ECONNRESET'].includes(error.code);
      if (isStale) resolve(call(socketPath, method, path, body));
      else reject(error);
    });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function jsonOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text; // a few answers are plain text
  }
}

/**
 * Takes a connection over: resolves once the daemon has agreed, with what becomes of it. Whoever opens it awaits `ended`; nothing is sent.
 */
export function session(socketPath, path, body = '') {
  const headers = { Connection: 'Upgrade', Upgrade: 'tcp', 'Content-Type': 'application/json' };
  const options = { socketPath, method: 'POST', path, headers, agent: false, timeout: CALL_TIMEOUT_MS };
  return new Promise((resolve, reject) => {
    const sent = request(options, (response) => {
      response.resume();
      reject(new Error(`${path}: ${response.statusCode} instead of a session`));
    });
    sent.once('timeout', () => sent.destroy(new Error(`${path}: no answer`)));
    sent.once('error', reject);
    sent.once('upgrade', (_response, socket, head) => {
      const firstByte = Promise.withResolvers();
      const ended = Promise.withResolvers();
      const hear = () => firstByte.resolve(performance.now());
      if (head.length > 0) hear();
      socket.once('data', hear).resume();
      socket.once('error', ended.reject).once('close', () => {
        firstByte.reject(new Error(`${path}: it ended without output`));
        ended.resolve();
      });
      firstByte.promise.catch(() => undefined); // not everybody asks
      socket.end();
      resolve({ firstByte: firstByte.promise, ended: ended.promise });
    });
    sent.end(body);
  });
}

export async function took(work) {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

let lastPod = 0;

/** Creates a pod of one container; resolves with its id and its container's name. */
export async function createPod(socket, image, command) {
  const name = `bench-${++lastPod}`;
  const container = { name, image, command };
  const { ID } = await call(socket, 'POST', '/pod/create', { id: name, containers: [container] });
  return { id: ID, container: name };
}

export const startPod = (socket, { id }) => call(socket, 'POST', `/pod/start?podId=${id}`);
export const removePod = (socket, { id }) => call(socket, 'DELETE', `/pod?podId=${id}`);

/** Pods of hyperd that exist, by id. */
export async function podIds(socket) {
  const { podData } = await call(socket, 'GET', '/list?item=pod');
  return (podData ?? []).map((row) => row.split(':')[0]);
}

const AT_ONCE = 10;

/** Removes all pods. */
export async function removePods(socket) {
  const ids = await podIds(socket);
  while (ids.length > 0) await Promise.all(ids.splice(0, AT_ONCE).map((id) => removePod(socket, { id })));
}
