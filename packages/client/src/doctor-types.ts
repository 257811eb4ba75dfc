/** What the doctor found: `GET /doctor`. */
export interface DoctorReport {
  /** Nothing is wrong, or is no longer. */
  readonly isWell: boolean;
  readonly checks: readonly { readonly name: string; readonly findings: readonly DoctorFinding[] }[];
}

export interface DoctorFinding {
  /** `note`: nothing is wrong. */
  readonly level: 'problem' | 'note';
  readonly problem: string;
  /** What the repair does, or what is to be done by hand. */
  readonly remedy: string;
  readonly canMend: boolean;
  readonly isMended: boolean;
}
