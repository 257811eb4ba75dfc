export type { Ailment } from './ailment.ts';
export { entriesOf, leftDrafts, standsStill } from './strays.ts';
