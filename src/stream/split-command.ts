import { SheafError } from "../base/errors.ts";

/**
 * The words of a command as Hadoop Streaming takes it: blanks part them, single and double quotes keep them
 * together and are left out. There is no shell: nothing else means anything.
 * @param what names the command, for the message
 * @throws SheafError USAGE for a quote that is not closed, or no words
 */
export function splitCommand(command: string, what: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (const character of command) {
    if (quote !== "") {
      if (character === quote) quote = "";
      else word += character;
    } else if (character === "'" || character === '"') {
      quote = character;
      word ??= "";
    } else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? "") + character;
  }
  if (quote !== "") {
    throw new SheafError("USAGE", `${what}: a ${quote} is not closed in ${command}`, {
      hint: "Quote with one kind of quotes what holds the other: 'awk \"{ print }\"'.",
    });
  }
  if (word !== undefined) words.push(word);
  if (words.length > 0) return words;
  throw new SheafError("USAGE", `${what}: there is no program`, {
    hint: "Give a command: 'python3 map.py'.",
  });
}
