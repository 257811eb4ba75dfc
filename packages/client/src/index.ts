export { ApiError, ConnectionError } from './api-error.ts';
export {
  Client,
  type ClientSettings,
  type CommitOptions,
  createClient,
  type ExecSession,
  type LogOptions,
  type MachineSession,
} from './client.ts';
export { defaultHost } from './default-host.ts';
export { demultiplex, type OutputChunk } from './demultiplex.ts';
export type * from './doctor-types.ts';
export { type EventOptions, EventsDroppedError, type HyperEvent } from './events.ts';
export type * from './image-types.ts';
export type { Images } from './images.ts';
export { type ProgressMessage, readProgress } from './progress.ts';
export type { Session } from './session.ts';
export type * from './types.ts';
export type * from './usage-types.ts';
export type { Volumes } from './volumes.ts';
