import type { OutputStream } from '../guest/index.ts';
import type { ContainerId, PodId } from '../ids.ts';
import type { StreamOffsets } from './pod-records.ts';
import type { LogLine, LogOptions } from './pod-service.ts';
import type { OutputLog } from './session.ts';

/** A container's log while its init runs: opened by the container at each start, closed by it at each end. */
export interface ContainerLog extends OutputLog {
  /** What it holds of each stream, over all runs. */
  offsets(): StreamOffsets;
  /** Writes what is held back, and lets go of the file. Repeatable. */
  close(): Promise<void>;
}

export interface LogEvents {
  onDurable(stream: OutputStream, offset: number): void;
  onError(error: unknown): void;
}

/** The logs of all containers, below the pods' directories. */
export interface ContainerLogs {
  open(pod: PodId, container: ContainerId, events: LogEvents): Promise<ContainerLog>;
  /** `isRunning` tells a follower whether there will be more. */
  read(pod: PodId, container: ContainerId, options: LogOptions): AsyncIterable<LogLine>;
  remove(pod: PodId, container: ContainerId): Promise<void>;
}
