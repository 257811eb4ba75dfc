import { type Static, Type } from 'typebox';

/**
 * The JSON that clients send: the original's pod specification (`UserPod`) with the keys of all its releases.
 * Everything is optional here; what must be there, and how values relate, is told by `rules.ts`.
 */
const text = Type.Optional(Type.String());
const texts = Type.Optional(Type.Array(Type.String()));
const textMap = Type.Optional(Type.Record(Type.String(), Type.String()));
const flag = Type.Optional(Type.Boolean());
const int32 = Type.Optional(Type.Integer({ minimum: -(2 ** 31), maximum: 2 ** 31 - 1 }));
const portNumber = Type.Optional(Type.Integer({ minimum: 0, maximum: 65_535 }));

/** Of a resource. Clients of Go write "no limit" as the largest number of 64 bits. */
const limit = Type.Optional(
  Type.Integer({ minimum: -1, maximum: 2 ** 64, description: '-1, or 2^63 and beyond: no limit' }),
);

const Volume = Type.Object({
  name: text,
  source: Type.Optional(Type.String({ description: 'path on the host, or the name of a volume' })),
  format: Type.Optional(
    Type.String({
      description:
        '`vfs` (a directory or file of the host), `volume` (one with a name), `raw`, `qcow2`, `vdi` (a disk image), `tmpfs`; none: an empty one of the pod',
    }),
  ),
  driver: Type.Optional(Type.String({ description: 'name of `format` in releases up to 0.7' })),
  fstype: Type.Optional(Type.String({ description: 'file system of a disk image' })),
  cache: Type.Optional(Type.String({ description: 'how the host caches a disk image' })),
  option: Type.Optional(
    Type.Object({
      size: Type.Optional(Type.String({ description: 'of a tmpfs: bytes, or `64m`, `1g`' })),
      mode: Type.Optional(Type.String({ description: 'of a tmpfs: octal digits (default: 1777)' })),
      user: text,
      keyring: text,
      monitors: texts,
    }),
  ),
});

const File = Type.Object({ name: text, encoding: text, uri: text, content: text });

export const ServicesSchema = Type.Array(
  Type.Object({
    serviceIP: text,
    servicePort: portNumber,
    protocol: text,
    hosts: Type.Optional(Type.Array(Type.Object({ hostIP: text, hostPort: portNumber }))),
  }),
);

export const ContainerSchema = Type.Object({
  name: text,
  image: text,
  command: texts,
  entrypoint: texts,
  workdir: text,
  envs: Type.Optional(Type.Array(Type.Object({ env: text, value: text }))),
  tty: flag,
  restartPolicy: text,
  sysctl: textMap,
  ports: Type.Optional(
    Type.Array(
      Type.Object({
        hostPort: portNumber,
        containerPort: portNumber,
        servicePort: portNumber,
        protocol: text,
      }),
    ),
  ),
  volumes: Type.Optional(
    Type.Array(Type.Object({ path: text, volume: text, readOnly: flag, detail: Type.Optional(Volume) })),
  ),
  files: Type.Optional(
    Type.Array(
      Type.Object({
        path: text,
        filename: text,
        perm: text,
        user: text,
        group: text,
        detail: Type.Optional(File),
      }),
    ),
  ),
  user: Type.Optional(Type.Object({ name: text, group: text, additionalGroups: texts })),
  labels: textMap,
  stopSignal: text,
  ulimits: Type.Optional(
    Type.Array(
      Type.Object({
        name: text,
        hard: limit,
        soft: limit,
      }),
    ),
  ),
  logPath: text,
  readOnly: flag,
  cache: text,
});

export const PortMappingSchema = Type.Object({
  containerPort: text,
  hostPort: text,
  protocol: text,
  hostIP: Type.Optional(Type.String({ description: 'not in the original: the address to publish on' })),
});

export const PodSchema = Type.Object({
  id: text,
  hostname: text,
  type: text,
  restartPolicy: text,
  tty: flag,
  labels: textMap,
  keepVm: Type.Optional(
    Type.Boolean({
      description: 'the machine stays when the last container has ended (not in the original)',
    }),
  ),
  autoRemove: Type.Optional(
    Type.Boolean({ description: 'the pod is removed once it has ended (not in the original)' }),
  ),
  resource: Type.Optional(Type.Object({ vcpu: int32, memory: int32 })),
  log: Type.Optional(Type.Object({ type: text, config: textMap })),
  dns: texts,
  dnsOptions: texts,
  dnsSearch: texts,
  containers: Type.Optional(Type.Array(ContainerSchema, { maxItems: 256 })),
  files: Type.Optional(Type.Array(File)),
  volumes: Type.Optional(Type.Array(Volume)),
  network: Type.Optional(
    Type.String({
      description: 'not in the original: name of a network, or `user` for the user-mode one',
    }),
  ),
  interfaces: Type.Optional(
    Type.Array(
      Type.Object({
        bridge: text,
        ip: text,
        ifname: text,
        mac: text,
        mtu: int32,
        gateway: text,
      }),
      { maxItems: 32 },
    ),
  ),
  services: Type.Optional(ServicesSchema),
  portmappings: Type.Optional(Type.Array(PortMappingSchema)),
  portmappingWhiteLists: Type.Optional(Type.Object({ internalNetworks: texts, externalNetworks: texts })),
});

export type PodJson = Static<typeof PodSchema>;
export type ContainerJson = Static<typeof ContainerSchema>;
export type ServicesJson = Static<typeof ServicesSchema>;
export type VolumeJson = Static<typeof Volume>;
export type FileJson = Static<typeof File>;
