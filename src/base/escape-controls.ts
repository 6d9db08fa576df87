/**
 * Control characters, and those that change what a terminal or an editor shows of the characters around
 * them: C0, DEL and C1, line and paragraph separators, marks of direction, and what takes no place. The two
 * joiners stay: Persian, the languages of India and emoji are written with them.
 */
export const controls =
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const short: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/**
 * A text as one line that does nothing to a terminal: control characters are written as \\u001b, \\n and the
 * like, which mean the same in JSON.
 * @param kept characters that stay as they are, for texts that may have lines or tabs
 */
export function escapeControls(text: string, kept = ""): string {
  return text.replaceAll(controls, (character) =>
    kept.includes(character)
      ? character
      : (short[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`),
  );
}
