// Results as a table for the terminal.
import { aimText, figureText, ratioOf } from './statistics.mjs';

const TITLE_WIDTH = 52;
const WIDTH = 10;

/** Rows of one group, with the spread of ours and what became of the aims. */
export function tableOf(results) {
  const head = ['hyperd', 'min', 'max', 'docker', 'ratio', 'floor', 'ratio'];
  const lines = [
    `${'case (medians)'.padEnd(TITLE_WIDTH)}${head.map((name) => name.padStart(WIDTH)).join('')}  aim`,
  ];
  for (const { group, cases } of results) {
    lines.push(`${group}:`);
    for (const result of cases) lines.push(rowOf(result));
  }
  return lines.join('\n');
}

function rowOf(result) {
  const { title, unit, skipped, ours, peer, floor, aims } = result;
  const name = `  ${title}, ${unit}`.padEnd(TITLE_WIDTH);
  if (skipped) return `${name}  not measured: ${skipped}`;
  const cells = [
    ...[ours?.median, ours?.min, ours?.max, peer?.median, ratioOf(ours, peer)].map(figureText),
    ...[floor?.median, ratioOf(ours, floor)].map(figureText),
  ];
  return `${name}${cells.map((cell) => cell.padStart(WIDTH)).join('')}  ${aims.map((aim) => verdict(aim, unit)).join('; ')}`.trimEnd();
}

/** `≤ 0.3 of docker: met`. */
export function verdict(aim, unit) {
  const word = { true: 'met', false: 'missed', undefined: 'not measured' }[String(aim.met)];
  return `${aimText(aim, unit)}: ${word}`;
}
