import type { Random } from "../base/random.ts";
import { COPY_SLACK } from "./cursor.ts";
import { encodeAll, longestOf } from "./pieces.ts";

const ONSETS = [
  "",
  "b",
  "c",
  "d",
  "f",
  "g",
  "h",
  "l",
  "m",
  "n",
  "p",
  "r",
  "s",
  "t",
  "w",
  "st",
  "th",
  "tr",
  "br",
  "sh",
];
const VOWELS = ["a", "e", "i", "o", "u", "e", "a", "ea", "ou", "i"];
const CODAS = ["", "", "", "n", "r", "s", "t", "d", "l", "m", "nd", "ng", "st", "ck"];
const FOREIGN = ["é", "ü", "ñ", "å", "ø", "ç", "ž", "ł", "ж", "и", "λ", "ω", "日", "本", "語"];

/** Words of letters with their UTF-8 bytes in one arena, in order, COPY_SLACK bytes after the last. */
export interface Vocabulary {
  readonly arena: DataView;
  /** (start in the arena) * LENGTH_STEP + (bytes of the word), in one number so that it is one look-up. */
  readonly places: Float64Array;
  readonly longest: number;
}

export const LENGTH_STEP = 64;

/**
 * `size` different lower-case words, frequent ones first and short, as in English. A share `nonAscii` of the
 * words has a letter beyond ASCII in it.
 */
export function makeVocabulary(random: Random, size: number, nonAscii: number): Vocabulary {
  const seen = new Set<string>();
  while (seen.size < size) {
    const rank = seen.size;
    let word = "";
    const [shortest, longest] = lengths(rank);
    while (word.length < shortest) word += syllable(random);
    if (word.length > longest) continue;
    // Counting on the word's own number, not on luck, keeps the share exact among the frequent words too.
    if (Math.floor((rank + 1) * nonAscii) > Math.floor(rank * nonAscii)) word += pick(random, FOREIGN);
    seen.add(word);
  }
  return pack([...seen]);
}

/** Letters of a word of this rank: about 4 on average over English-like text, 8 over the vocabulary. */
function lengths(rank: number): readonly [shortest: number, longest: number] {
  if (rank < 40) return [1, 3];
  if (rank < 400) return [3, 5];
  if (rank < 4000) return [4, 8];
  return rank < 100_000 ? [6, 12] : [9, 20];
}

function syllable(random: Random): string {
  return pick(random, ONSETS) + pick(random, VOWELS) + pick(random, CODAS);
}

function pick(random: Random, from: readonly string[]): string {
  return from[random.below(from.length)]!;
}

function pack(words: readonly string[]): Vocabulary {
  const encoded = encodeAll(words);
  const total = encoded.reduce((sum, word) => sum + word.length, 0);
  const bytes = new Uint8Array(total + COPY_SLACK);
  const places = new Float64Array(words.length);
  let at = 0;
  encoded.forEach((word, i) => {
    bytes.set(word, at);
    places[i] = at * LENGTH_STEP + word.length;
    at += word.length;
  });
  return { arena: new DataView(bytes.buffer), places, longest: longestOf(encoded) };
}
