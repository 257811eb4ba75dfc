const MAX_LINE_LENGTH = 1024 * 1024;

/** The JSON values of a stream, one a line. Throws where a line is none, or out of all reason. */
export async function* readJsonLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of source) {
    text += decoder.decode(chunk, { stream: true });
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    if (text.length > MAX_LINE_LENGTH) throw new Error('read stream of JSON: a line is too long');
    for (const line of lines) if (line.trim() !== '') yield JSON.parse(line);
  }
  if (text.trim() !== '') yield JSON.parse(text);
}
