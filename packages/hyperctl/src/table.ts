const MIN_CELL_WIDTH = 20;
const PADDING = 3;

/**
 * Rows as columns, left aligned, as the original lays them out: every cell but the last at least 20 wide, three spaces between. Control
 * characters of the values are shown as `?`.
 */
export function table(rows: readonly (readonly string[])[]): string {
  const clean = rows.map((row) => row.map(printable));
  const widths: number[] = [];
  for (const row of clean) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? MIN_CELL_WIDTH, cell.length + PADDING);
    }
  }
  return clean
    .map((row) => row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join(''))
    .map((line) => `${line}\n`)
    .join('');
}

/** `text` without what a terminal would take for commands. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
}
