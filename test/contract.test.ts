// The wire contract with clients of the original daemon, as far as it needs no machine: transport, system, what is not there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerSchemas } from './support/openapi.ts';
import { frame, type RestOptions, RestSession, rest, UPGRADED } from './support/rest.ts';
import { atStart, sharedDaemon } from './support/shared.ts';

const daemon = sharedDaemon();
let schemas: AnswerSchemas;
atStart(async () => {
  schemas = await AnswerSchemas.of(daemon.socket);
});

const call = async (line: string, options: RestOptions = {}) => rest(daemon.socket, line, options);
const json = (value: unknown): RestOptions => ({
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(value),
});

for (const [line, status, location] of [
  ['GET //list?item=pod', 301, '/list?item=pod'],
  ['GET /v1.1.0//pod/./info', 301, '/v1.1.0/pod/info'],
  ['GET /pod/x/../info?podName=a', 301, '/pod/info?podName=a'],
  ['GET /list/', 404, undefined],
  ['GET /nope', 404, undefined],
  ['DELETE /list', 404, undefined],
  ['OPTIONS /info', 404, undefined],
  ['HEAD /info', 404, undefined],
  ['PATCH /info', 404, undefined],
] as const) {
  test(`${line} answers ${status}${location ? ` to ${location}` : ''}`, async () => {
    const reply = await call(line);
    assert.deepEqual([reply.status, reply.headers.location], [status, location]);
    if (status === 404 && !line.startsWith('HEAD')) assert.equal(reply.body, '404 page not found\n');
  });
}

test('a path that cannot be decoded is refused as text', async () => {
  const reply = await call('GET /%ZZ');
  assert.deepEqual([reply.status, reply.headers['content-type']], [400, 'text/plain; charset=utf-8']);
});

for (const prefix of ['', '/v1.17', '/v1.1.0', '/v0.7.0', '/v99.9']) {
  test(`"${prefix}" is a prefix of every route`, async () => {
    const ping = await call(`GET ${prefix}/_ping`);
    assert.deepEqual([ping.status, ping.body], [200, 'OK']);
    assert.match(String(ping.headers['content-type']), /^text\/plain/);
    assert.match(String(ping.headers.server), /^hyperd\/\S+ \(linux\)$/);
    for (const path of ['/info', '/version', '/images/get', '/list?item=pod', '/list?item=container']) {
      const reply = await call(`GET ${prefix}${path}`);
      assert.equal(reply.headers['content-type'], 'application/json', path);
      assert.ok(reply.body.endsWith('\n'), 'JSON ends with a line feed');
      schemas.check(`GET ${path}`, reply);
    }
  });
}

test('a client of Go on a unix socket is understood: its Host is the path of the socket', async () => {
  const reply = await call('GET /v1.1.0/_ping', { headers: { Host: daemon.socket } });
  assert.equal(reply.status, 200);
});

test('flat objects have their keys in alphabetical order; ids are texts, figures numbers', async () => {
  const { body } = await call('GET /info');
  const info = JSON.parse(body);
  assert.deepEqual(Object.keys(info), Object.keys(info).sort());
  assert.equal(info.ID, String(daemon.process.pid));
  assert.equal(info.ExecutionDriver, 'qemu');
  assert.ok(info.MemTotal > 100_000, 'kB');
  assert.equal(info.Images, 1);
  assert.ok(info.DriverStatus.every((pair: unknown[]) => pair.length === 2));
  assert.deepEqual(Object.keys(JSON.parse((await call('GET /version')).body)), ['ID', 'Version']);
});

for (const [line, status, body] of [
  ['GET /list?item=pod', 201, '{"item":"pod","podData":[]}\n'],
  ['GET /list?item=container', 201, '{"cData":[],"item":"container"}\n'],
  ['GET /list?item=vm', 201, '{"item":"vm","vmData":[]}\n'],
  ['GET /v0.5.0/list?item=vm', 200, '{"Item":"vm","item":"vm","vmData":[]}\n'],
  ['GET /v0.7.0/list?item=vm', 201, '{"item":"vm","vmData":[]}\n'],
  ['GET /list?item=pod&pod=nope&vm=vm-nope', 201, '{"item":"pod","podData":[]}\n'],
  ['GET /list?item=container&auxiliary=yes', 201, '{"cData":[],"item":"container"}\n'],
  ['GET /v0.7.0/list?item=pod&pod=nope', 500, 'Cannot find specified pod nope\n'],
  ['GET /v0.7.0/list?item=vm&vm=vm-nope', 500, 'Cannot find specified vm vm-nope\n'],
  ['GET /list', 500, 'Can not support  list!\n'],
  ['GET /list?item=image', 500, 'Can not support image list!\n'],
  ['GET /images/get?filter=nope', 200, '{"imagesList":[]}\n'],
] as const) {
  test(`${line} answers ${status} ${body.trim()}`, async () => {
    const reply = await call(line);
    assert.deepEqual([reply.status, reply.body], [status, body]);
  });
}

test('an image is one text a tag: repository, tag, 64 hex digits, seconds, bytes', async () => {
  const { imagesList } = JSON.parse((await call('GET /images/get?all=yes&quiet=no')).body);
  assert.equal(imagesList.length, 1);
  assert.match(imagesList[0], /^busybox:latest:[0-9a-f]{64}:\d+:\d+$/);
});

const UNKNOWN: readonly (readonly [string, number, string, RestOptions?])[] = [
  ['GET /pod/info?podName=x', 404, 'Can not get Pod info with pod ID(x)'],
  ['GET /pod/info?podId=x', 404, 'Can not get Pod info with pod ID(x)'],
  ['GET /pod/stats?podId=x', 404, 'Can not get Pod stats with pod ID(x)'],
  ['POST /pod/start?podId=x', 404, 'The pod(x) can not be found, please create it first'],
  ['POST /pod/stop?podId=x', 404, 'Can not find pod(x)'],
  ['DELETE /pod?podId=x', 404, 'Can not find that Pod(x)'],
  ['POST /pod/remove?podId=x', 404, 'Can not find that Pod(x)'],
  ['POST /pod/kill?podName=x', 404, 'can not find pod x'],
  ['POST /pod/pause?podId=x', 404, 'Can not get Pod info with pod ID(x)'],
  ['POST /pod/unpause?podId=x', 404, 'Can not get Pod info with pod ID(x)'],
  ['POST /pod/labels?podId=x&labels=%7B%7D', 404, 'Can not get Pod x info'],
  ['GET /service/list?podId=x', 404, 'The pod(x) can not be found, please create it first'],
  ['POST /service/add?podId=x&services=[]', 404, 'The pod(x) can not be found, please create it first'],
  ['GET /pod/x/portmappings', 404, 'Pod x not found'],
  ['PUT /pod/x/portmappings/add', 404, 'Pod x not found', json([])],
  ['GET /container/info?container=x', 404, 'Can not find container by name(x)'],
  ['POST /container/create?podId=x', 400, 'The pod(x) can not be found', json({ image: 'busybox' })],
  ['POST /container/start?container=x', 404, 'The container (x) can not be found'],
  ['POST /container/stop?container=x', 404, 'can not found container x'],
  ['POST /container/kill?container=x', 404, 'can not find container x'],
  ['POST /container/remove?container=x', 404, 'cannot find container x'],
  ['GET /exitcode?container=x', 404, 'cannot find container x'],
  ['GET /container/exitcode?container=x', 404, 'cannot find container x'],
  ['POST /exec/create?container=x&command=["a"]', 404, 'cannot find container x'],
  ['POST /tty/resize?container=x&h=1&w=1', 404, 'cannot find container x'],
  ['POST /container/rename?oldName=x&newName=yy', 404, 'caonnot find pod contains container x to rename'],
  ['POST /container/commit?container=x', 404, 'No such container: x'],
  ['DELETE /image?imageId=x', 404, 'No such image: x:latest'],
];
for (const [line, status, text, options] of UNKNOWN) {
  test(`${line} answers ${status} "${text}"`, async () => {
    const reply = await call(line.replaceAll('"', '%22'), options);
    assert.deepEqual([reply.status, reply.body], [status, `${text}\n`]);
    assert.equal(reply.headers['content-type'], 'text/plain; charset=utf-8');
    assert.equal(reply.headers['x-content-type-options'], 'nosniff');
  });
}

const REFUSED: readonly (readonly [string, number, RegExp, RestOptions?])[] = [
  ['GET /container/info', 500, /^Empty container name$/],
  ['GET /container/logs?container=x', 400, /^Bad parameters: you must choose at least one stream$/],
  ['GET /container/logs?container=x&stdout=no&stderr=0', 400, /^Bad parameters/],
  ['GET /container/logs?container=x&stdout=yes', 404, /^Error running logs job: cannot find container x$/],
  ['POST /container/create', 500, /^podId is required to create a new container$/, json({ image: 'a' })],
  ['DELETE /image?imageId=%20', 500, /^image name cannot be blank$/],
  ['POST /tty/resize?container=x&h=a&w=1', 500, /"h" is "a"/],
  ['POST /pod/labels?podId=x', 500, /"labels" is missing/],
  ['POST /pod/labels?podId=x&labels=[]', 500, /want a JSON object/],
  ['POST /exec/create?container=x&command=[', 500, /not JSON/],
  ['POST /exec/create?container=x&command=[]', 500, /at least one string/],
  ['POST /vm/create?cpu=a', 500, /"cpu" is "a"/],
  ['DELETE /vm', 400, /"vm" is missing/],
  ['POST /container/rename?oldName=x', 400, /"newName" is missing/],
  ['PUT /pod/x/portmappings/nope', 404, /^Pod x not found$/, json([])],
  ['POST /image/push', 400, /"remote" is missing/],
  ['POST /image/create', 400, /"imageName"/],
];
for (const [line, status, text, options] of REFUSED) {
  test(`${line} is refused with ${status}`, async () => {
    const reply = await call(line, options);
    assert.equal(reply.status, status);
    assert.match(reply.body.trimEnd(), text);
  });
}

const BAD_PODS: readonly (readonly [string, number, string | RegExp, RestOptions])[] = [
  ['no image', 404, /^No such image: nope:1$/, json({ containers: [{ image: 'nope:1' }] })],
  [
    'a long host name',
    500,
    'Hostname exceeds the maximum length 63, len: 64',
    json({ hostname: 'a'.repeat(64) }),
  ],
  [
    'a host name with a slash',
    500,
    /^Hostname should fullfil the pattern: .*input hostname: \/a$/,
    json({ hostname: '/a' }),
  ],
  [
    'two volumes of one name',
    500,
    /^Volumes name does not unique/,
    json({ volumes: [{ name: 'a' }, { name: 'a' }] }),
  ],
  [
    'two files of one name',
    500,
    /^Files name does not unique/,
    json({ files: [{ name: 'a' }, { name: 'a' }] }),
  ],
  ['a bad name server', 500, 'incorrect dns x.', json({ dns: ['x'] })],
  [
    'a number as a text',
    500,
    /"resource.memory" is "128", want an integer/,
    json({ resource: { memory: '128' } }),
  ],
  [
    'a file that is not there',
    500,
    'file x does not exist in file list.',
    json({ containers: [{ image: 'busybox', files: [{ path: '/a', filename: 'x' }] }] }),
  ],
  [
    'a volume that is not there',
    500,
    'volume x does not exist in volume list.',
    json({ containers: [{ image: 'busybox', volumes: [{ path: '/a', volume: 'x' }] }] }),
  ],
  [
    'two variables of one name',
    500,
    /^environment name are not unique/,
    json({ containers: [{ image: 'busybox', envs: [{ env: 'A' }, { env: 'A' }] }] }),
  ],
  [
    'services of another protocol',
    500,
    /"services\[0\].protocol" is "sctp", want one of tcp, udp/,
    json({ services: [{ serviceip: '10.0.0.1', serviceport: 80, protocol: 'SCTP', hosts: [] }] }),
  ],
  ['no JSON', 500, /not JSON/, { headers: { 'Content-Type': 'application/json' }, body: '{' }],
  ['no body', 500, /no specification/, {}],
  [
    'another content type',
    500,
    "Content-Type specified (text/plain) must be 'application/json'",
    { headers: { 'Content-Type': 'text/plain' }, body: '{}' },
  ],
];
for (const [what, status, text, options] of BAD_PODS) {
  test(`a pod with ${what} is refused with ${status}, and leaves nothing`, async () => {
    const reply = await call('POST /v1.1.0/pod/create', options);
    assert.equal(reply.status, status);
    if (typeof text === 'string') assert.equal(reply.body, `${text}\n`);
    else assert.match(reply.body.trimEnd(), text);
    assert.equal((await call('GET /list?item=pod')).body, '{"item":"pod","podData":[]}\n');
  });
}

test('a client that accepts JSON gets errors as JSON', async () => {
  const headers = { Accept: 'application/json' };
  const unknown = await call('GET /pod/info?podName=x', { headers });
  assert.equal(unknown.headers['content-type'], 'application/json');
  assert.equal(unknown.body, '{"message":"Can not get Pod info with pod ID(x)","code":"not-found"}\n');
  const path = await call('GET /nope', { headers });
  assert.deepEqual([path.status, JSON.parse(path.body).code], [404, 'not-found']);
});

const SESSIONS: readonly (readonly [string, string])[] = [
  ['/v1.17/attach?container=x', frame(2, 'Can not find container by name(x)\n')],
  ['/v1.17/exec/start?container=x&exec=e', frame(2, 'cannot find container x\n')],
  ['/v1.17/execvm?pod=x&command=%5B%22a%22%5D', 'Can not get Pod info with pod ID(x)\n'],
  ['/exec?type=container&value=x&command=a&tag=t', 'Can not find container by name(x)\n'],
  ['/attach?type=container&value=x&tag=t', 'Can not find container by name(x)\n'],
  ['/pod/start?podId=x&tag=t', 'The pod(x) can not be found, please create it first\n'],
  ['/pod/start?podId=x&attach=yes', frame(2, 'The pod(x) can not be found, please create it first\n')],
];
for (const headers of [[], ['Content-Type: text/plain', 'Connection: Upgrade', 'Upgrade: tcp']]) {
  for (const [path, text] of SESSIONS) {
    test(`${path} ${headers.length > 0 ? 'with' : 'without'} upgrade is 101, then the reason`, async () => {
      const session = new RestSession(daemon.socket, path, headers);
      assert.equal(await session.end(), UPGRADED + text);
    });
  }
}

test('a session of a client below 0.7, told by its User-Agent, has no frames', async () => {
  const session = new RestSession(daemon.socket, '/v1.17/attach?container=x', [
    'User-Agent: Hyper-Client/0.6.2',
  ]);
  assert.equal(await session.end(), `${UPGRADED}Can not find container by name(x)\n`);
});

test('an exit code asked for with a tag that nobody gave is -1', async () => {
  const reply = await call('GET /v0.5.0/exitcode?container=x&tag=nope');
  assert.deepEqual([reply.status, reply.body], [200, '-1\n']);
});

test('a machine that is not there is as good as ended', async () => {
  for (const line of ['DELETE /v0.7.0/vm?vm=vm-x', 'POST /vm/kill?vm=vm-x']) {
    const reply = await call(line);
    assert.deepEqual([reply.status, reply.body], [200, '{"Cause":"","Code":0,"ID":"vm-x"}\n']);
  }
});
