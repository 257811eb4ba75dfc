import type { PodId } from '../ids.ts';
import { isAlive, type PodEvent, type PodState, podTransition } from './lifecycle.ts';
import type { PodRecord, PodRecords } from './pod-records.ts';

/** A pod's record and the state in it, stored before anybody sees it. Changed by the pod's parts, read by everybody. */
export class PodLife {
  readonly #records: PodRecords;
  #record: PodRecord;

  constructor(record: PodRecord, records: PodRecords) {
    this.#record = record;
    this.#records = records;
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
  }

  save(change: Partial<PodRecord>): void {
    this.#record = { ...this.#record, ...change };
    this.#records.savePod(this.#record);
  }
}
