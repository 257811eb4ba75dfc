/** How many letters have to be put in, taken out, changed or swapped with the next one (Damerau and Levenshtein, optimal alignment). */
export function distance(a: string, b: string): number {
  let [before, last]: [number[], number[]] = [[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row[j] = Math.min(
        (last[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (last[j - 1] ?? 0) + (isSame ? 0 : 1),
        isSwapped ? (before[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    [before, last] = [last, row];
  }
  return last[b.length] ?? 0;
}

/** `; did you mean "list"?` for the candidate that is meant most likely; empty where none is near. */
export function suggestion(text: string, candidates: readonly string[]): string {
  const most = Math.max(1, Math.floor(text.length / 3));
  const near = candidates
    .map((candidate) => ({
      candidate,
      far: candidate.startsWith(text) && text.length > 2 ? 0 : distance(text, candidate),
    }))
    .filter(({ far }) => far <= most)
    .sort((a, b) => a.far - b.far);
  return near[0] ? `; did you mean "${near[0].candidate}"?` : '';
}
