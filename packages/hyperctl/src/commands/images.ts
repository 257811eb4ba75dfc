import type { Client, ImageFilters, ImageSelection, ImageUsage } from '@hyperd/client';
import type { Command } from '../command.ts';
import { decimalSize, jsonLines, listFormat, localTime } from '../format.ts';
import { shortImageId, wholeImageId } from '../image-id.ts';
import { keyValues } from '../key-values.ts';
import type { Options } from '../options.ts';
import { table } from '../table.ts';
import { UsageError } from '../usage-error.ts';

const FILTERS = ['before', 'dangling', 'label', 'reference', 'since'];
const NONE = '<none>';

export const command: Command = {
  name: 'images',
  operands: '[REPOSITORY[:TAG]]',
  summary: 'List images',
  options: [
    { name: 'all', short: 'a', help: 'accepted; there are no intermediate images' },
    { name: 'quiet', short: 'q', help: 'ids only' },
    {
      ...{ name: 'filter', short: 'f', value: 'KEY=VALUE', repeats: true },
      help: 'only images with dangling=true|false, label=KEY[=VALUE], reference=GLOB, before=IMAGE or since=IMAGE',
    },
    { name: 'no-trunc', help: 'whole ids' },
    { name: 'digests', help: 'also the digests that registries know the images by' },
    {
      name: 'sizes',
      short: 's',
      help: 'also the bytes on disk that others need as well, and that only the image needs',
    },
    {
      name: 'format',
      value: 'FORMAT',
      help: 'table (the default) or json: one object a line, sizes in bytes',
    },
  ],
  operandCount: [0, 1],
  async run({ client, options, operands: [filter], terminal: { stdout } }) {
    const format = listFormat(options);
    const selection = { ...(filter && { filter }), filters: filtersOf(options) };
    const needsUsage = format === 'json' || options.flag('digests') || options.flag('sizes');
    const rows = needsUsage ? await usageRows(client, selection) : await tagRows(client, selection);
    const idOf = options.flag('no-trunc') ? wholeImageId : shortImageId;
    if (options.flag('quiet')) stdout.write(rows.map(({ id }) => `${idOf(id)}\n`).join(''));
    else if (format === 'json') stdout.write(jsonLines(rows.map((row) => jsonRow(row, idOf(row.id)))));
    else stdout.write(tableOf(rows, options, idOf));
    return 0;
  },
};

/** A tag of an image; without a tag the image alone. */
interface Row {
  readonly repository: string;
  readonly tag: string;
  readonly id: string;
  readonly createdAt: Date;
  readonly sizeBytes: number;
  readonly digest?: string;
  readonly sharedBytes?: number;
  readonly uniqueBytes?: number;
}

/** The list is cheaper for the daemon than what the images take on the disk. */
function tagRows(client: Client, selection: ImageSelection): Promise<Row[]> {
  return client.images.list(selection);
}

async function usageRows(client: Client, selection: ImageSelection): Promise<Row[]> {
  return (await client.images.usage(selection)).flatMap((image) =>
    namesOf(image).map((name) => ({ ...name, ...image })),
  );
}

/** A name for every tag; for repositories that know the image by its digest only, one without a tag. */
function namesOf({ tags, digests }: ImageUsage): Pick<Row, 'repository' | 'tag' | 'digest'>[] {
  const digestIn = new Map(digests.map((text) => text.split('@', 2) as [string, string]));
  const tagged = tags.map((name) => {
    const colon = name.lastIndexOf(':');
    const repository = name.slice(0, colon);
    return { repository, tag: name.slice(colon + 1), digest: digestIn.get(repository) ?? NONE };
  });
  if (tagged.length > 0) return tagged;
  if (digestIn.size === 0) return [{ repository: NONE, tag: NONE, digest: NONE }];
  return [...digestIn].map(([repository, digest]) => ({ repository, tag: NONE, digest }));
}

function filtersOf(options: Options): ImageFilters {
  const filters: Record<string, string[]> = {};
  for (const [key, value] of keyValues(options, 'filter')) {
    if (!FILTERS.includes(key)) {
      throw new UsageError(`--filter is "${key}=${value}", want one of ${FILTERS.join(', ')}`);
    }
    filters[key] = [...(filters[key] ?? []), value];
  }
  return filters;
}

function tableOf(rows: readonly Row[], options: Options, idOf: (id: string) => string): string {
  const [digests, sizes] = [options.flag('digests'), options.flag('sizes')];
  const head = [
    ...['REPOSITORY', 'TAG', ...(digests ? ['DIGEST'] : []), 'IMAGE ID', 'CREATED', 'VIRTUAL SIZE'],
    ...(sizes ? ['SHARED SIZE', 'UNIQUE SIZE'] : []),
  ];
  const cells = rows.map((row) => [
    ...[row.repository, row.tag, ...(digests ? [row.digest ?? NONE] : []), idOf(row.id)],
    ...[localTime(row.createdAt), decimalSize(row.sizeBytes)],
    ...(sizes ? [decimalSize(row.sharedBytes ?? 0), decimalSize(row.uniqueBytes ?? 0)] : []),
  ]);
  return table([head, ...cells]);
}

function jsonRow(row: Row, id: string): object {
  return {
    ...{ Repository: row.repository, Tag: row.tag, Digest: row.digest, ID: id },
    ...{ CreatedAt: row.createdAt.toISOString(), Size: row.sizeBytes },
    ...{ SharedSize: row.sharedBytes, UniqueSize: row.uniqueBytes },
  };
}
