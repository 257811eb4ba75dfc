/** Something on the host that is not as it should be, or, as a note, that the operator may want to know. */
export interface Ailment {
  /** What is wrong, and with what: a whole sentence without a period. */
  readonly problem: string;
  /** What mends it: what `mend` does, or what the operator has to do. */
  readonly remedy: string;
  /** Nothing is wrong. */
  readonly isNote?: boolean;
  /** Mends it. May be called again, also where it has mended itself. */
  readonly mend?: () => Promise<void>;
}
