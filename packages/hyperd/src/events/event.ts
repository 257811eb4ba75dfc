/** Everything that is told of, by type of object. The API document is made of it. */
export const EVENT_ACTIONS = {
  pod: {
    create: 'recorded; nothing of it runs yet',
    start: 'it has a machine',
    pause: 'its clocks stand',
    unpause: 'its clocks go on',
    stop: 'its containers are asked to end',
    kill: 'its machine is ended at once',
    die: 'it has ended: `outcome` (`succeeded` or `failed`), `reason`',
    restart: 'started again by a restart policy',
    update: 'its labels have changed',
    destroy: 'removed',
  },
  container: {
    create: 'recorded; nothing of it runs yet',
    start: 'its command runs',
    attach: 'a client has joined it',
    stop: 'asked to end: `signal`, and SIGKILL after a while',
    kill: 'signalled: `signal`',
    oom: 'a process of it was killed for want of memory',
    die: 'it has ended: `exitCode`, `signal`, `reason`',
    restart: 'started again by its restart policy: `restarts` without a healthy run between',
    rename: '`oldName`',
    commit: 'an image was made of it: `imageId`, `reference`',
    archive: '`path` was copied out of it',
    extract: 'files were copied to `path` in it',
    exec_create: 'a further command was given: `exec`, `command`',
    exec_start: 'it runs: `exec`, `command`',
    exec_die: 'it has ended: `exec`, `exitCode`',
    destroy: 'removed',
  },
  image: {
    pull: 'fetched from its registry',
    push: 'sent to its registry: `digest`',
    load: 'taken in from an archive',
    import: 'made of a tar',
    create: 'made by a build, or of a container',
    save: 'written to an archive',
    tag: 'it has a further name',
    untag: 'a name was taken away',
    delete: 'removed',
  },
  network: {
    create: 'made',
    connect: 'a pod has got a place on it: `pod`, `address`',
    disconnect: 'the place is free again: `pod`',
    destroy: 'removed',
  },
  volume: {
    create: 'made, by a command or by a pod that names it',
    destroy: 'removed, with all that was in it',
  },
  machine: {
    start: 'it runs: `pod`, where it has one, and where it is from: `source` (`pool`, `clone` or `boot`)',
    boot: 'it is booted, as its template could not be cloned: `reason`',
    die: 'it has ended: `reason`',
  },
  daemon: {
    start: 'it is ready; what happened before is not known any more',
    stop: 'it ends; running pods go on',
  },
  events: {
    dropped: 'the last one of a stream whose reader was too slow: `reason`',
  },
} as const;

export type EventType = keyof typeof EVENT_ACTIONS;
export type EventAction<T extends EventType> = keyof (typeof EVENT_ACTIONS)[T] & string;

/** One thing that has happened. Goes to clients as it is. */
export interface HyperEvent {
  /** Seconds since the epoch. */
  readonly time: number;
  /** Nanoseconds since the epoch, in steps of a microsecond; no two events have the same. */
  readonly timeNano: number;
  readonly type: EventType;
  readonly action: string;
  readonly id: string;
  readonly name: string;
  /** Of the object, where it has some. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly attributes: Readonly<Record<string, string>>;
}
