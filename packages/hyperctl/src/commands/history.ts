import type { HistoryStep } from '@hyperd/client';
import type { Command } from '../command.ts';
import { decimalSize, jsonLines, listFormat, localTime } from '../format.ts';
import { shortImageId } from '../image-id.ts';
import { table } from '../table.ts';

const SHORT_TEXT_LENGTH = 45;

export const command: Command = {
  name: 'history',
  operands: 'IMAGE',
  summary: 'Show the steps that an image was made in, newest first',
  options: [
    { name: 'no-trunc', help: 'whole ids and commands' },
    { name: 'quiet', short: 'q', help: 'ids only' },
    { name: 'format', value: 'FORMAT', help: 'table (the default) or json: one object a line' },
  ],
  operandCount: [1, 1],
  async run({ client, options, operands: [image = ''], terminal: { stdout } }) {
    const format = listFormat(options);
    const steps = await client.images.history(image);
    const isWhole = options.flag('no-trunc');
    const ids = steps.map(({ id }) => (id === undefined ? '<missing>' : isWhole ? id : shortImageId(id)));
    if (options.flag('quiet')) stdout.write(ids.map((id) => `${id}\n`).join(''));
    else if (format === 'json') stdout.write(jsonLines(steps.map((step, i) => jsonRow(step, ids[i] ?? ''))));
    else {
      const rows = steps.map((step, i) => [
        ...[ids[i] ?? '', localTime(step.createdAt), isWhole ? step.createdBy : shortened(step.createdBy)],
        ...[decimalSize(step.sizeBytes), step.comment],
      ]);
      stdout.write(table([['IMAGE', 'CREATED', 'CREATED BY', 'SIZE', 'COMMENT'], ...rows]));
    }
    return 0;
  },
};

function shortened(text: string): string {
  return text.length > SHORT_TEXT_LENGTH ? `${text.slice(0, SHORT_TEXT_LENGTH - 1)}…` : text;
}

function jsonRow({ createdAt, createdBy, sizeBytes, comment, tags }: HistoryStep, id: string): object {
  return {
    ...{ ID: id, CreatedAt: createdAt.toISOString(), CreatedBy: createdBy, Size: sizeBytes },
    ...{ Comment: comment, Tags: tags },
  };
}
