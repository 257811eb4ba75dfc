let onPoint: ((name: string) => void) | undefined;

/** A point at which a test may end the daemon or have an action fail. Does nothing unless HYPERD_FAULT is set; see `armFaults`. */
export function faultPoint(name: string): void {
  onPoint?.(name);
}

/** Whoever listens may throw, or end the process. */
export function listenAtFaultPoints(listener: ((name: string) => void) | undefined): void {
  onPoint = listener;
}
