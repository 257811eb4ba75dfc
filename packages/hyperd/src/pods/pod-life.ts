import type { Events } from '../events/index.ts';
import type { PodId } from '../ids.ts';
import { isAlive, type PodEvent, type PodState, podTransition } from './lifecycle.ts';
import type { PodRecord, PodRecords } from './pod-records.ts';

/** What the transitions are called that are worth telling as they happen. */
const EVENT_ACTIONS: Partial<
  Readonly<Record<PodEvent['type'], 'start' | 'pause' | 'unpause' | 'stop' | 'die'>>
> = {
  started: 'start',
  pause: 'pause',
  unpause: 'unpause',
  stop: 'stop',
  end: 'die',
};

/** A pod's record and the state in it, stored before anybody sees it. Changed by the pod's parts, read by everybody. */
export class PodLife {
  readonly #records: PodRecords;
  readonly #events: Events;
  #record: PodRecord;

  constructor(record: PodRecord, records: PodRecords, events: Events) {
    this.#record = record;
    this.#records = records;
    this.#events = events;
  }

  get id(): PodId {
    return this.#record.id;
  }

  get record(): PodRecord {
    return this.#record;
  }

  get state(): PodState {
    return this.#record.state;
  }

  get phase(): PodState['phase'] {
    return this.#record.state.phase;
  }

  get isAlive(): boolean {
    return isAlive(this.#record.state);
  }

  /** It has ended, and nothing will start it again by itself. */
  get isOver(): boolean {
    const { state } = this.#record;
    return state.phase === 'ended' && state.restartsAt === undefined;
  }

  /** Throws `precondition` where the state does not allow the event. */
  check(type: 'start' | 'pause' | 'unpause'): void {
    podTransition(this.#record.state, { type }, this.id);
  }

  /** As `check`, and goes on to the next state. */
  apply(event: PodEvent): void {
    this.save({ state: podTransition(this.#record.state, event, this.id) });
    const action = EVENT_ACTIONS[event.type];
    const end = event.type === 'end' ? { outcome: event.outcome, reason: event.message } : {};
    if (action) this.#events.pod(this.#record, action, end);
  }

  save(change: Partial<PodRecord>): void {
    const record = { ...this.#record, ...change };
    // What is written while somebody waits for the pod does not wait for the disk; nor what is of a pod that a host's power failure ends and removes in any case.
    const { spec, state } = change;
    const isSoon = record.spec.autoRemove || (spec === undefined && (state === undefined || isAlive(state)));
    // An end comes whether it can be written or not; anything else has not happened where it cannot.
    const isFact = spec === undefined && (state === undefined || ['ended', 'stopping'].includes(state.phase));
    this.#records.savePod(record, { isSoon, isFact, isRemoval: state?.phase === 'removing' });
    this.#record = record;
  }
}
