import { Type } from 'typebox';

/**
 * The JSON of the answers, as documents tell it and as the functions of this folder are held to by type. What is optional is left out
 * where it is empty, false or 0, as the original's encoder does.
 */
const text = Type.Optional(Type.String());
const texts = Type.Optional(Type.Array(Type.String()));
const flag = Type.Optional(Type.Boolean());
const count = Type.Integer();
const time = Type.Optional(Type.String({ format: 'date-time' }));

export const EmptyAnswer = Type.Object({}, { description: 'nothing to tell' });

export const ActionAnswer = Type.Object({
  Cause: Type.String(),
  Code: Type.Integer({ description: '0: it was done' }),
  ID: Type.String(),
});

export const StartAnswer = Type.Partial(ActionAnswer);

export const Labels = Type.Record(Type.String(), Type.String());

export const ContainerConfig = Type.Object({}, { description: "Docker's container configuration" });

export const ServiceResult = Type.Array(Type.String(), { description: '`Result=success`' });

export const ExitCode = Type.Integer({ minimum: -1, maximum: 255 });

export const ExecId = Type.String();

export const IdAnswer = Type.Object({ ID: Type.String() });

export const ErrorAnswer = Type.Object({
  message: Type.String(),
  code: Type.String({ description: 'one of a closed list, such as `not-found`' }),
});

export const VersionAnswer = Type.Object({
  ID: Type.String({ description: 'process id' }),
  Version: Type.String(),
});

export const DaemonInfo = Type.Object({
  ID: Type.String({ description: 'process id' }),
  Containers: count,
  Images: count,
  Pods: count,
  Driver: Type.String({ description: 'of the storage' }),
  DriverStatus: Type.Array(Type.Array(Type.String(), { minItems: 2, maxItems: 2 })),
  Pool: Type.Optional(
    Type.Object(
      {
        max: Type.Integer({ description: 'machines that may wait' }),
        wanted: Type.Integer({ description: 'that should' }),
        ready: Type.Integer({ description: 'that do' }),
        making: Type.Boolean({ description: 'one is being made' }),
      },
      { description: 'machines that wait for a pod; absent where that is off' },
    ),
  ),
  DockerRootDir: Type.String(),
  IndexServerAddress: Type.String(),
  ExecutionDriver: Type.String({ description: 'hypervisor' }),
  MemTotal: Type.Integer({ description: 'KiB' }),
  'Operating System': Type.String(),
  Name: Type.String({ description: 'host name' }),
});

export const ListAnswer = Type.Object({
  item: Type.String(),
  Item: Type.Optional(Type.String({ description: 'the same, for clients below 0.6' })),
  podData: Type.Optional(Type.Array(Type.String({ description: 'id:name:vm:status' }))),
  cData: Type.Optional(Type.Array(Type.String({ description: 'id:name:pod:status' }))),
  vmData: Type.Optional(Type.Array(Type.String({ description: 'vm:pod:status' }))),
});

export const Container = Type.Object({
  name: Type.String({ description: 'with a slash in front' }),
  containerID: Type.String(),
  image: Type.String(),
  imageID: Type.String(),
  commands: texts,
  args: texts,
  workingDir: text,
  tty: flag,
  labels: Type.Optional(Type.Record(Type.String(), Type.String())),
  env: Type.Optional(Type.Array(Type.Object({ env: Type.String(), value: Type.Optional(Type.String()) }))),
  volumeMounts: Type.Optional(Type.Array(Type.Object({ name: text, mountPath: text, readOnly: flag }))),
});

const phases = ['pending', 'running', 'succeeded', 'failed'] as const;

export const ContainerStatus = Type.Object({
  name: Type.String(),
  containerID: Type.String(),
  phase: Type.Enum([...phases]),
  waiting: Type.Object({ reason: text }),
  running: Type.Object({ startedAt: time }),
  terminated: Type.Object({
    exitCode: Type.Optional(count),
    reason: text,
    message: text,
    startedAt: time,
    finishedAt: time,
  }),
});

export const ContainerInfo = Type.Object({
  container: Container,
  createdAt: Type.Integer({ description: 'seconds since the epoch' }),
  podID: Type.String(),
  status: ContainerStatus,
});

export const PortMapping = Type.Object({
  containerPort: Type.String(),
  hostPort: Type.String(),
  protocol: Type.String(),
  hostIP: text,
});

export const PortMappings = Type.Object({ portMappings: Type.Array(PortMapping) });

export const PodStatus = Type.Object({
  phase: Type.Enum(['Pending', 'Running', 'Paused', 'Succeeded', 'Failed']),
  message: text,
  podIP: Type.Optional(Type.Array(Type.String({ description: 'address with prefix length' }))),
  startTime: time,
  finishTime: time,
  containerStatus: Type.Optional(Type.Array(ContainerStatus)),
});

const ms = (description: string) => Type.Optional(Type.Number({ description }));

/** Where the time of a pod's last start went; ours. */
export const StartTrace = Type.Object({
  startedAt: Type.String({ description: 'RFC 3339' }),
  machine: Type.Optional(Type.String({ description: 'where it is from: `pool`, `clone` or `boot`' })),
  ready: Type.Optional(Type.Boolean({ description: "it was made ready for the pod's image" })),
  phases: Type.Array(
    Type.Object({
      name: Type.String(),
      atMs: Type.Number({ description: 'after the start began; phases may overlap' }),
      ms: Type.Number(),
    }),
  ),
  totalMs: ms('until it was started'),
  firstByteMs: ms('until the first output of a container reached the daemon'),
});

export const PodInfo = Type.Object({
  podID: Type.String(),
  podName: Type.String(),
  kind: Type.String(),
  apiVersion: Type.String(),
  vm: text,
  createdAt: Type.Integer({ description: 'seconds since the epoch' }),
  spec: Type.Object({
    volumes: Type.Optional(Type.Array(Type.Object({ name: text, source: text, driver: text }))),
    containers: Type.Optional(Type.Array(Container)),
    labels: Type.Optional(Type.Record(Type.String(), Type.String())),
    vcpu: Type.Optional(count),
    memory: Type.Optional(Type.Integer({ description: 'MiB' })),
    portMappings: Type.Optional(Type.Array(PortMapping)),
  }),
  status: PodStatus,
  startTrace: Type.Optional(StartTrace),
});
