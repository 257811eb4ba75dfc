// Figures of repeated measurements, and what they mean beside each other.

/** Median, quartiles, extremes of at least one value. */
export function summaryOf(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return {
    ...{ count: sorted.length, min: sorted[0], max: sorted.at(-1) },
    ...{ q1: quantile(sorted, 0.25), median: quantile(sorted, 0.5), q3: quantile(sorted, 0.75) },
  };
}

/** Between the two values around it where it falls between them. */
function quantile(sorted, part) {
  const at = (sorted.length - 1) * part;
  const below = sorted[Math.floor(at)];
  return below + (sorted[Math.ceil(at)] - below) * (at - Math.floor(at));
}

/** Ours divided by another's, of the medians; undefined where there is nothing to divide by. */
export function ratioOf(ours, other) {
  if (!ours || !other || other.median === 0) return undefined;
  return ours.median / other.median;
}

/**
 * How a case stands to one of its aims. `of`: `peer` or `floor`, whose ratio is bounded, or nothing, where it is the figure itself.
 * `met` is undefined where it could not be measured.
 */
export function judge({ atMost, of }, { ours, peer, floor }) {
  const value = of === undefined ? ours?.median : ratioOf(ours, { peer, floor }[of]);
  return { atMost, of, value, met: value === undefined ? undefined : value <= atMost };
}

/** An aim in words: `≤ 0.15 of docker`. */
export function aimText({ atMost, of }, unit) {
  const whose = { peer: 'of docker', floor: 'of the floor' }[of] ?? unit;
  return `≤ ${atMost} ${whose}`;
}

/** A figure with as many digits as say something. */
export function figureText(value) {
  if (value === undefined) return '';
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
