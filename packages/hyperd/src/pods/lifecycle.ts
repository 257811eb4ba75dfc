/** A container's life. Stored as JSON; times are ms since the epoch. */
export type ContainerState =
  | { readonly phase: 'pending' }
  | { readonly phase: 'running'; readonly startedAt: number }
  | {
      readonly phase: 'exited';
      /** undefined when it could not be started. */
      readonly startedAt: number | undefined;
      readonly finishedAt: number;
      readonly exitCode: number;
      readonly signal: number;
      /** What a user should know beyond the code: a start error, a lost machine. */
      readonly message: string | undefined;
    };

/** A pod's life. `ended` pods can be started again. */
export type PodState =
  | { readonly phase: 'pending' }
  | { readonly phase: 'starting' }
  | { readonly phase: 'running'; readonly startedAt: number }
  | { readonly phase: 'paused'; readonly startedAt: number }
  | { readonly phase: 'stopping'; readonly startedAt: number }
  | {
      readonly phase: 'ended';
      readonly outcome: 'succeeded' | 'failed';
      readonly startedAt: number | undefined;
      readonly finishedAt: number;
      readonly message: string | undefined;
    };
