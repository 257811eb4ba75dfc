const MAX_LENGTH = 1024;

/** Text from the guest, made fit for a terminal and a log: bounded, control characters escaped. */
export function guestText(text: string): string {
  const cut = text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what has to go
  return cut.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}
