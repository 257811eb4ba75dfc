const SHORT_ID_LENGTH = 12;

/** The first digits of an image id, with or without `sha256:`, as lists show it. */
export function shortImageId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, SHORT_ID_LENGTH);
}

/** The id with its algorithm. */
export function wholeImageId(id: string): string {
  return `sha256:${id.replace(/^sha256:/, '')}`;
}
