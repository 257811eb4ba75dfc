import type { Command } from '../command.ts';
import { LIST_OPTIONS, list } from './list.ts';

export const command: Command = {
  name: 'ps',
  operands: '',
  summary: 'List containers, as "list container" does',
  options: LIST_OPTIONS,
  operandCount: [0, 0],
  run: (context) => list(context, 'container'),
};
