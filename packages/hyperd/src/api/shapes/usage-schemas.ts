import { Type } from 'typebox';
import { PodStatus } from './schemas.ts';

const count = Type.Integer();
const cpu = Type.Object({
  total: Type.Integer({ description: 'ns' }),
  per_cpu_usage: Type.Array(count),
  user: count,
  system: count,
});
const blockFigures = Type.Array(
  Type.Object({
    name: Type.String(),
    type: Type.String(),
    source: Type.String(),
    major: count,
    minor: count,
    stat: Type.Record(Type.String(), count),
  }),
);
const block = Type.Object({ io_service_bytes_recursive: blockFigures, io_serviced_recursive: blockFigures });
const nothing = Type.Null();
const faults = Type.Object({ pgfault: count, pgmajfault: count });

export const PodStats = Type.Object({
  cpu: Type.Object({ usage: cpu, load_average: count }),
  block: Type.Object({
    io_service_bytes_recursive: blockFigures,
    io_serviced_recursive: blockFigures,
    io_queue_recursive: nothing,
    io_service_time_recursive: blockFigures,
    io_wait_time_recursive: nothing,
    io_merged_recursive: blockFigures,
    io_time_recursive: nothing,
    sectors_recursive: blockFigures,
  }),
  processes: count,
  memory: Type.Object({
    usage: Type.Integer({ description: 'bytes' }),
    working_set: count,
    failcnt: count,
    limit: count,
    container_data: faults,
    hierarchical_data: faults,
  }),
  network: Type.Object({
    interfaces: Type.Array(
      Type.Object({
        name: Type.String(),
        rx_bytes: count,
        rx_packets: count,
        rx_errors: count,
        rx_dropped: count,
        tx_bytes: count,
        tx_packets: count,
        tx_errors: count,
        tx_dropped: count,
      }),
    ),
  }),
  filesystem: Type.Array(
    Type.Object({
      device: Type.String(),
      capacity: Type.Integer({ description: 'bytes' }),
      usage: count,
      available: count,
      reads_completed: count,
      reads_merged: count,
      sectors_read: Type.Number(),
      read_time: Type.Number({ description: 'ms' }),
      writes_completed: count,
      writes_merged: count,
      sectors_written: Type.Number(),
      write_time: Type.Number({ description: 'ms' }),
    }),
  ),
  timestamp: Type.String({ format: 'date-time' }),
  container_stats: Type.Array(
    Type.Object({
      container_id: Type.String(),
      cpu: Type.Object({ usage: cpu }),
      block,
      memory: Type.Object({ usage: count, working_set: count }),
      processes: count,
    }),
  ),
});

export const PodEnd = Type.Object({
  podID: Type.String(),
  exitCode: Type.Integer({
    description: 'of the first container that failed; 125 where the pod could not be started',
  }),
  status: PodStatus,
});

export const ProcessList = Type.Object({
  processes: Type.Array(
    Type.Object({
      pid: Type.Integer({ description: 'as the container sees it' }),
      ppid: Type.Integer({ description: 'the same of its parent; 0: that is outside of the container' }),
      uid: count,
      user: Type.String({ description: 'its name in the container, else the number' }),
      state: Type.String({ description: 'one letter, as ps(1) has it' }),
      started_at: Type.String({ format: 'date-time' }),
      cpu_time: Type.Integer({ description: 'ns' }),
      memory: Type.Integer({ description: 'bytes' }),
      command: Type.String({ description: 'cut after 255 bytes' }),
    }),
  ),
});
