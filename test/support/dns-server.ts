import { createSocket } from 'node:dgram';
import { once } from 'node:events';

const A = 1;

/** A DNS server at `address`, port 53, that knows IPv4 addresses of some names, and answers others with NXDOMAIN. Dispose of it. */
export async function serveDns(
  address: string,
  names: Readonly<Record<string, string>>,
): Promise<AsyncDisposable> {
  const socket = createSocket('udp4');
  socket.on('message', (query, peer) => socket.send(answerTo(query, names), peer.port, peer.address));
  socket.bind(53, address);
  await once(socket, 'listening');
  return socket;
}

function answerTo(query: Buffer, names: Readonly<Record<string, string>>): Buffer {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  const question = query.subarray(12, at + 5);
  const known = names[labels.join('.').toLowerCase()];
  const isAsked = known !== undefined && query.readUInt16BE(at + 1) === A;
  const header = Buffer.alloc(12);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(known === undefined ? 0x8183 : 0x8180, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(isAsked ? 1 : 0, 6);
  if (!isAsked) return Buffer.concat([header, question]);
  const record = Buffer.from([0xc0, 12, 0, A, 0, 1, 0, 0, 0, 60, 0, 4, ...known.split('.').map(Number)]);
  return Buffer.concat([header, question, record]);
}
