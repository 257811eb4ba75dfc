// Results as one HTML page without anything from elsewhere: a table and a plot of every case.
import { figureText, ratioOf } from './statistics.mjs';
import { verdict } from './table.mjs';

const PLOT = { width: 460, row: 20, left: 52, right: 12 };
const SERIES = [
  { who: 'ours', label: 'hyperd', color: '#0b6e4f' },
  { who: 'peer', label: 'docker', color: '#1f5fa8' },
  { who: 'floor', label: 'floor', color: '#8a5a00' },
];

const STYLE = `
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #1a1a1a; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem } dt { color: #555 } dd { margin: 0 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #ddd; vertical-align: middle }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap } th.number { text-align: right }
.small { color: #555; font-size: .85em } .met { color: #0b6e4f } .missed { color: #a3261c }
td:first-child, th:first-child { width: 20rem }
svg text { font: 11px system-ui, sans-serif }
`;

/** @param report What `results.json` holds. */
export function pageOf(report) {
  const facts = [
    ...[
      ['date', report.date],
      ['host', report.host],
      ['hyperd', report.hyperd],
      ['peer', report.peer],
    ],
    ...[
      ['guest kernel', report.kernel],
      ['rounds', `${report.rounds}, after ${report.warmUp} to warm up`],
    ],
    ...(report.note ? [['note', report.note]] : []),
  ];
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>hyperd: benchmarks</title>
<style>${STYLE}</style>
<h1>hyperd beside docker</h1>
<dl>${facts.map(([name, value]) => `<dt>${escaped(name)}</dt><dd>${escaped(value)}</dd>`).join('')}</dl>
<p class="small">Medians. In the plots a dot is one measurement, the box spans the quartiles, the line in it is the median; every plot begins at 0.
The floor is the same work in a bare machine, without hyperd.</p>
${report.groups.map(sectionOf).join('\n')}
</html>
`;
}

function sectionOf({ group, cases }) {
  const head = ['case', 'hyperd', 'docker', 'ratio', 'floor', 'ratio'];
  const cells = head.map((name, index) => `<th${index > 0 ? ' class="number"' : ''}>${name}</th>`).join('');
  return `<h2>${escaped(group)}</h2>
<table><tr>${cells}<th>measurements</th></tr>
${cases.map(rowOf).join('\n')}
</table>`;
}

function rowOf(result) {
  const { title, unit, skipped, ours, peer, floor, aims } = result;
  const about = aims.map(
    (aim) => `<br><span class="small ${aim.met ? 'met' : 'missed'}">${escaped(verdict(aim, unit))}</span>`,
  );
  const name = `<td>${escaped(title)} <span class="small">${escaped(unit)}</span>${about.join('')}</td>`;
  if (skipped) return `<tr>${name}<td colspan="6" class="small">not measured: ${escaped(skipped)}</td></tr>`;
  const numbers = [ours?.median, peer?.median, ratioOf(ours, peer), floor?.median, ratioOf(ours, floor)];
  const cells = numbers.map((value) => `<td class="number">${figureText(value)}</td>`).join('');
  return `<tr>${name}${cells}<td>${plotOf(result)}</td></tr>`;
}

/** Strips of dots on one scale, each with its box. */
export function plotOf(result) {
  const strips = SERIES.filter(({ who }) => result[who]);
  const most = Math.max(...strips.map(({ who }) => result[who].max)) || 1;
  const { width, row, left, right } = PLOT;
  const x = (value) => (left + (value / most) * (width - left - right)).toFixed(1);
  const height = strips.length * row + 16;
  const rows = strips.map(({ who, label, color }, index) => {
    const { q1, median, q3, min, max } = result[who];
    const y = index * row + row / 2;
    const dots = result.samples[who].map(
      (value) => `<circle cx="${x(value)}" cy="${y}" r="2.5" fill="${color}" fill-opacity=".45"/>`,
    );
    const title = `${label}: median ${figureText(median)}, from ${figureText(min)} to ${figureText(max)}`;
    return `<g><title>${escaped(title)}</title><text x="0" y="${y + 4}" fill="${color}">${label}</text>
<rect x="${x(q1)}" y="${y - 6}" width="${Math.max(1, x(q3) - x(q1)).toFixed(1)}" height="12" fill="${color}" fill-opacity=".18"/>
<line x1="${x(median)}" x2="${x(median)}" y1="${y - 7}" y2="${y + 7}" stroke="${color}" stroke-width="2"/>${dots.join('')}</g>`;
  });
  const base = strips.length * row + 1;
  return `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<line x1="${left}" x2="${width - right}" y1="${base}" y2="${base}" stroke="#bbb"/>
<text x="${left}" y="${height - 3}" fill="#555">0</text>
<text x="${width - right}" y="${height - 3}" fill="#555" text-anchor="end">${figureText(most)} ${escaped(result.unit)}</text>
${rows.join('\n')}</svg>`;
}

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escaped = (text) => String(text).replace(/[&<>"]/g, (character) => ENTITIES[character]);
