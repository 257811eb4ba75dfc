import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TSchema } from 'typebox';
import { HyperError, isHyperError } from '../../errors.ts';
import { parseContainerSpec, parsePodSpec } from './parse-pod-spec.ts';
import { PodSchema } from './schema.ts';

const withContainer = (container: object): object => ({ containers: [{ image: 'busybox', ...container }] });

test('parsePodSpec() fills in the defaults of an empty specification', () => {
  const pod = parsePodSpec({});
  assert.match(pod.id, /^pod-[A-Za-z]{10}$/);
  assert.equal(pod.hostname, pod.id);
  assert.deepEqual(pod.resource, { vcpus: 1, memoryMib: 128 });
  assert.deepEqual([pod.containers, pod.volumes, pod.restartPolicy], [[], [], 'never']);
});

test('parsePodSpec() cuts the id to a host name of 63 characters', () => {
  assert.equal(parsePodSpec({ id: 'a'.repeat(100) }).hostname, 'a'.repeat(63));
});

test('parsePodSpec() takes keys in any case, the exact one first', () => {
  const pod = parsePodSpec({
    ID: 'web',
    Resource: { VCPU: 2, memory: 256, MEMORY: 1 },
    portMappings: [{ containerport: '80', HOSTPORT: '8080' }],
    containers: [
      { Image: 'nginx', readonly: true, entryPoint: ['/e'], Ulimits: [{ Name: 'NOFILE', Hard: 2, Soft: 1 }] },
    ],
  });
  assert.equal(pod.id, 'web');
  assert.deepEqual(pod.resource, { vcpus: 2, memoryMib: 256 });
  assert.deepEqual(pod.portMappings, [
    { containerPort: '80', hostPort: '8080', protocol: 'tcp', hostIP: '' },
  ]);
  const [container] = pod.containers;
  assert.equal(container?.readOnly, true);
  assert.deepEqual(container?.entrypoint, ['/e']);
  assert.deepEqual(container?.ulimits, [{ name: 'nofile', hard: 2, soft: 1 }]);
});

test('parsePodSpec() takes the largest number of 64 bits for no limit, as clients of Go write it', () => {
  const ulimits = JSON.parse('[{"Name":"MEMLOCK","Hard":18446744073709551615,"Soft":18446744073709551615}]');
  const pod = parsePodSpec({ containers: [{ image: 'i', ulimits }] });
  assert.deepEqual(pod.containers[0]?.ulimits, [{ name: 'memlock', hard: -1, soft: -1 }]);
});

test('parsePodSpec() ignores unknown keys and takes null as absent', () => {
  const pod = parsePodSpec({ id: null, nonsense: { a: 1 }, labels: { a: '1', b: null }, containers: null });
  assert.deepEqual([pod.labels, pod.containers], [{ a: '1' }, []]);
});

test("parsePodSpec() hands tty and restart policy down, a container's own policy first", () => {
  const pod = parsePodSpec({
    tty: true,
    restartPolicy: 'Always',
    containers: [{ image: 'a' }, { image: 'b', restartPolicy: 'never' }],
  });
  assert.deepEqual(
    pod.containers.map(({ tty, restartPolicy }) => [tty, restartPolicy]),
    [
      [true, 'always'],
      [true, 'never'],
    ],
  );
});

test("parsePodSpec() moves a container's deprecated ports to the pod", () => {
  const pod = parsePodSpec(
    withContainer({ ports: [{ containerPort: 80, hostPort: 8080, protocol: 'TCP' }, { containerPort: 9 }] }),
  );
  assert.deepEqual(pod.portMappings, [
    { containerPort: '80', hostPort: '8080', protocol: 'tcp', hostIP: '' },
  ]);
});

test('parsePodSpec() takes "driver" for a volume\'s format, and one volume at two paths', () => {
  const pod = parsePodSpec({
    volumes: [{ name: 'v', source: '/tmp', driver: 'vfs' }],
    ...withContainer({
      volumes: [
        { path: '/a', volume: 'v' },
        { path: '/b', volume: 'v', readOnly: true },
      ],
    }),
  });
  assert.equal(pod.volumes[0]?.format, 'vfs');
  assert.equal(pod.containers[0]?.volumes.length, 2);
});

test('parsePodSpec() keeps a key named __proto__ from being one', () => {
  const pod = parsePodSpec(JSON.parse('{"__proto__": {"id": "evil"}, "labels": {"__proto__": "x"}}'));
  assert.match(pod.id, /^pod-/);
  assert.ok(Object.hasOwn(pod.labels, '__proto__'));
});

const refused: readonly (readonly [string, unknown, RegExp])[] = [
  ['no object', 'pod', /"specification" is "pod", want an object/],
  ['an array', [], /"specification" is an array/],
  ['a string for a number', { resource: { memory: '128' } }, /"resource.memory" is "128", want an integer/],
  ['a fraction', { resource: { vcpu: 1.5 } }, /"resource.vcpu" is 1.5/],
  [
    'a number for a string, deep inside',
    withContainer({
      envs: [
        { env: 'A', value: 'b' },
        { env: 'B', value: 1 },
      ],
    }),
    /"containers\[0\].envs\[1\].value" is 1, want a string/,
  ],
  ['a label that is no string', { labels: { a: {} } }, /"labels.a" is an object, want a string/],
  ['an id with a slash', { id: '../x' }, /"id" is "..\/x", want \[a-zA-Z0-9\]/],
  ['an id of 129 characters', { id: 'a'.repeat(129) }, /at most 128/],
  [
    'a host name of 64 characters',
    { hostname: 'a'.repeat(64) },
    /^Hostname exceeds the maximum length 63, len: 64$/,
  ],
  [
    'a host name in upper case',
    { hostname: 'Web' },
    /^Hostname should fullfil the pattern: .*hostname: Web$/,
  ],
  ['a host name with an empty segment', { hostname: 'a..b' }, /^Hostname should fullfil/],
  [
    'two gateways',
    {
      interfaces: [
        { ip: '10.0.0.2/24', gateway: '10.0.0.1' },
        { ip: '10.1.0.2/24', gateway: '10.1.0.1' },
      ],
    },
    /^in interface 1, Other interface already configured Gateway$/,
  ],
  ['a bridge without address', { interfaces: [{ bridge: 'br0' }] }, /must specify the IP address/],
  ['volumes of one name', { volumes: [{ name: 'v' }, { name: 'v' }] }, /^Volumes name does not unique/],
  ['files of one name', { files: [{ name: 'f' }, { name: 'f' }] }, /^Files name does not unique/],
  [
    'services of one address',
    {
      services: [
        { serviceIP: '1.1.1.1', servicePort: 1 },
        { serviceIP: '1.1.1.1', servicePort: 1, protocol: 'TCP' },
      ],
    },
    /^Services IP:Port@Protocol combination does not unique$/,
  ],
  [
    'one variable twice',
    withContainer({ envs: [{ env: 'A' }, { env: 'A' }] }),
    /^environment name are not unique/,
  ],
  ['a variable without name', withContainer({ envs: [{ value: 'x' }] }), /envs\[0\].env/],
  [
    'a file that is not there',
    withContainer({ files: [{ path: '/x', filename: 'f' }] }),
    /^file f does not exist in file list\.$/,
  ],
  [
    'a permission that is not octal',
    { files: [{ name: 'f' }], ...withContainer({ files: [{ path: '/x', filename: 'f', perm: '0888' }] }) },
    /^the permission 0888 only accept Octal digital in string$/,
  ],
  [
    'a volume that is not there',
    withContainer({ volumes: [{ path: '/x', volume: 'v' }] }),
    /^volume v does not exist in volume list\.$/,
  ],
  ['an unknown volume format', { volumes: [{ name: 'v', format: 'zip' }] }, /"zip", want one of raw/],
  ['an unknown cache mode', withContainer({ cache: 'fast' }), /"fast", want one of off/],
  ['a name server by name', { dns: ['dns.example'] }, /^incorrect dns dns\.example\.$/],
  ['a search domain with a line break', { dnsSearch: ['a', 'b\nnameserver 1.1.1.1'] }, /"dnsSearch\[1\]"/],
  ['a resolver option with a space', { dnsOptions: ['ndots:2 rotate'] }, /"dnsOptions\[0\]"/],
  ['33 name servers', { dns: Array(33).fill('1.1.1.1') }, /"dns" has 33 entries, want at most 32/],
  ['a container without image', { containers: [{}] }, /"containers\[0\].image" is missing/],
  ['a container name of one character', withContainer({ name: 'x' }), /"containers\[0\].name" is "x"/],
  [
    'two containers of one name',
    {
      containers: [
        { name: 'aa', image: 'i' },
        { name: '/aa', image: 'i' },
      ],
    },
    /"aa" is used twice/,
  ],
  ['an unknown restart policy', { restartPolicy: 'sometimes' }, /want never, onFailure or always/],
  [
    'an unknown protocol',
    { portmappings: [{ containerPort: '1', hostPort: '1', protocol: 'sctp' }] },
    /^unrecongnized protocol sctp/,
  ],
  ['port 0', { portmappings: [{ containerPort: '0', hostPort: '1' }] }, /want a port from 1 to 65535/],
  [
    'a range turned round',
    { portmappings: [{ containerPort: '9-8', hostPort: '8-9' }] },
    /containerPort" is "9-8"/,
  ],
  [
    'ranges that differ',
    { portmappings: [{ containerPort: '80', hostPort: '80-90' }] },
    /^port range mismatch in "portmappings\[0\]": host ports 80-90 \(11\) for container ports 80 \(1\)/,
  ],
  [
    'a range for one host port',
    { portmappings: [{ containerPort: '80-90', hostPort: '80' }] },
    /^port range mismatch in "portmappings\[0\]": host ports 80 \(1\) for container ports 80-90 \(11\)/,
  ],
  [
    'a range without host ports',
    { portmappings: [{ containerPort: '80-90' }] },
    /^port range mismatch in "portmappings\[0\]": one host port that is chosen for you for container ports/,
  ],
  [
    'port 65536',
    { portmappings: [{ containerPort: '1', hostPort: '65536' }] },
    /"portmappings\[0\].hostPort" is "65536", want a port from 1 to 65535/,
  ],
  [
    'a range beyond 65535',
    { portmappings: [{ containerPort: '1-2', hostPort: '65535-65536' }] },
    /want a port from 1 to 65535/,
  ],
  ['a mapping without container port', { portmappings: [{ hostPort: '1' }] }, /containerPort" is ""/],
  [
    'a host address that is none',
    { portmappings: [{ containerPort: '1', hostPort: '1', hostIP: '::1' }] },
    /hostIP" is "::1", want an IPv4 address/,
  ],
  [
    'ports with something behind them',
    { portmappings: [{ containerPort: '80-10.0.2.15:22', hostPort: '1' }] },
    /containerPort" is "80-10.0.2.15:22"/,
  ],
  [
    'an unknown limit',
    withContainer({ ulimits: [{ name: 'files', hard: 2, soft: 1 }] }),
    /"containers\[0\].ulimits\[0\].name" is "files", want one of as, core/,
  ],
  [
    'a limit given twice',
    withContainer({ ulimits: [{ name: 'nofile' }, { name: 'NOFILE' }] }),
    /"containers\[0\].ulimits\[1\].name" is "NOFILE", which is limited twice/,
  ],
  [
    'a stop signal that there is not',
    withContainer({ StopSignal: 'SIGNOTHING' }),
    /"containers\[0\].StopSignal" is "SIGNOTHING", want a name such as TERM/,
  ],
  [
    'a relative working directory',
    withContainer({ workdir: 'tmp' }),
    /"containers\[0\].workdir" is "tmp", want an absolute path/,
  ],
  [
    'a kernel setting outside of /proc/sys',
    withContainer({ sysctl: { 'net/../../x': '1' } }),
    /"containers\[0\].sysctl" has the key "net\/..\/..\/x", want a name/,
  ],
  [
    'a user of two lines',
    withContainer({ user: { name: 'a\nb' } }),
    /"containers\[0\].user" has the name "a\\nb"/,
  ],
  [
    'a bad size of logs',
    { log: { config: { 'max-size': 'x' } } },
    /"log.config.max-size" is "x", want a size/,
  ],
  ['memory as text', { resource: { memory: '128' } }, /"resource.memory" is "128", want an integer/],
  [
    'a soft limit above the hard one',
    withContainer({ ulimits: [{ name: 'nofile', soft: 2, hard: 1 }] }),
    /soft limit 2 above/,
  ],
  ['a NUL in a command', withContainer({ command: ['a\0b'] }), /"containers\[0\].command\[0\]" has a NUL/],
  ['257 containers', { containers: Array(257).fill({ image: 'i' }) }, /"257 entries", want at most 256/],
];
for (const [what, json, message] of refused) {
  test(`parsePodSpec() refuses ${what}`, () => {
    assert.throws(
      () => parsePodSpec(json),
      (error: Error) => isHyperError(error, 'invalid-spec') && message.test(error.message),
    );
  });
}

test('parseContainerSpec() leaves the name to the pod service and wants volumes with their detail', () => {
  const container = parseContainerSpec({
    image: 'i',
    volumes: [{ path: '/x', volume: 'v', detail: { name: 'v' } }],
  });
  assert.equal(container.name, '');
  assert.throws(() => parseContainerSpec({ image: 'i', volumes: [{ path: '/x', volume: 'v' }] }), /volume v/);
});

test('parsePodSpec() answers any JSON with a specification that it accepts again, or with invalid-spec', () => {
  const key = fc.constantFrom(
    'id',
    'containers',
    'Image',
    'image',
    'labels',
    'resource',
    'vcpu',
    'x',
    'ports',
  );
  const { json } = fc.letrec((tie) => ({
    json: fc.oneof(
      { depthSize: 'medium' },
      fc.constant(null),
      fc.boolean(),
      fc.integer(),
      fc.string(),
      fc.array(tie('json'), { maxLength: 3 }),
      fc.dictionary(key, tie('json'), { maxKeys: 4 }),
    ),
  }));
  fc.assert(
    fc.property(json, (value) => {
      try {
        const pod = parsePodSpec(value);
        assert.deepEqual(
          parsePodSpec(JSON.parse(JSON.stringify({ ...pod, resource: undefined }))).id,
          pod.id,
        );
      } catch (error) {
        assert.ok(error instanceof HyperError && error.code === 'invalid-spec', String(error));
      }
    }),
  );
});

/** Values of the right types, mostly, for a schema: words that mean something, and some that break rules. */
function valuesOf(schema: TSchema): fc.Arbitrary<unknown> {
  const words = [
    '',
    'a',
    'web',
    'busybox',
    '80',
    '1-3',
    'tcp',
    '/tmp',
    '0755',
    'always',
    'nofile',
    'TERM',
    '10m',
  ];
  const { type, properties, items, patternProperties } = schema as unknown as {
    type: string;
    properties?: Record<string, TSchema>;
    items?: TSchema;
    patternProperties?: Record<string, TSchema>;
  };
  switch (type) {
    case 'string':
      return fc.oneof(
        { weight: 5, arbitrary: fc.constantFrom(...words) },
        { weight: 1, arbitrary: fc.string() },
      );
    case 'boolean':
      return fc.boolean();
    case 'integer':
      return fc.oneof(fc.constantFrom(0, 1, 80, -1), fc.integer());
    case 'array':
      return fc.array(valuesOf(items as TSchema), { maxLength: 3 });
    default: {
      if (patternProperties) {
        const [values] = Object.values(patternProperties);
        return fc.dictionary(
          fc.constantFrom('a', 'max-size', 'net.core.x', '__proto__'),
          valuesOf(values as TSchema),
        );
      }
      const entries = Object.entries(properties ?? {}).map(([key, value]) => [
        key,
        fc.option(valuesOf(value), { freq: 3, nil: null }),
      ]);
      return fc.record(Object.fromEntries(entries), { requiredKeys: [] });
    }
  }
}

test('parsePodSpec() refuses a specification of right types with a HyperError, or makes one that holds only what was checked', () => {
  fc.assert(
    fc.property(valuesOf(PodSchema), (value) => {
      try {
        const pod = parsePodSpec(value);
        assert.ok(pod.resource.vcpus >= 1 && pod.resource.memoryMib >= 1);
        assert.match(pod.id, /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/);
      } catch (error) {
        assert.ok(error instanceof HyperError, String(error));
        assert.ok(['invalid-spec', 'unsupported'].includes(error.code), error.code);
      }
    }),
    { numRuns: 500 },
  );
});
