import type { ImageTag } from './image-types.ts';

/** The fields of a list string; the last one takes the rest. */
export function splitFields(text: string, count: number): string[] {
  const fields = text.split(':');
  return [...fields.slice(0, count - 1), fields.slice(count - 1).join(':')];
}

/** Reads `repository:tag:id:created:size`; the repository may hold colons. */
export function imageTag(text: string): ImageTag {
  const fields = text.split(':');
  const [tag = '', id = '', created = '0', size = '0'] = fields.slice(-4);
  return {
    ...{ repository: fields.slice(0, -4).join(':'), tag, id },
    createdAt: new Date(Number(created) * 1000),
    sizeBytes: Number(size),
  };
}
