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
      const hear = (bytes) => {
        if (hasOutput(bytes)) firstByte.resolve(performance.now());
      };
      hear(head);
      socket.on('data', hear);
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

/** Whether there is a frame of a process's output that is not empty. */
function hasOutput(bytes) {
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4);
    if (length > 0 && [1, 2].includes(bytes[at])) return true;
    at += 8 + length;
  }
  return false;
}

export async function took(work) {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

let lastPod = 0;

/** The specification of a pod of one container, which has its name. */
function podOf(image, command) {
  const name = `bench-${++lastPod}`;
  return { id: name, containers: [{ name, image, command }] };
}

/** Creates a pod of one container; resolves with its id and its container's name. */
export async function createPod(socket, image, command) {
  const spec = podOf(image, command);
  const { ID } = await call(socket, 'POST', '/pod/create', spec);
  return { id: ID, container: ID };
}

/** Creates, joins, starts and removes a pod of one container in one call; see `session`. */
export const runPod = (socket, image, command) =>
  session(socket, '/run?remove=yes', JSON.stringify(podOf(image, command)));

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
