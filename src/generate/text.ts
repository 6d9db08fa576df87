import type { Random } from "../base/random.ts";
import type { Cursor } from "./cursor.ts";
import type { GeneratorDefinition, RecordMaker } from "./generator.ts";
import { LENGTH_STEP, makeVocabulary } from "./vocabulary.ts";
import { zipfRanks } from "./zipf.ts";

const SPACE = 32;
const COMMA = 44;
const PERIOD = 46;
const QUESTION = 63;
const NEWLINE = 10;
const LINE_BYTES = 64;
/** Flattens the head of the distribution a little, as the commonest words of English do. */
const ZIPF_SHIFT = 1.7;

/** English-like text: Zipf-distributed words in sentences, paragraphs and lines of about 70 characters. */
export const textData: GeneratorDefinition = {
  kind: "text",
  summary:
    "English-like text: words of letters with Zipf frequencies, in sentences, lines of about 70 characters",
  record: "line",
  options: [
    {
      name: "words",
      summary: "different words in the vocabulary",
      default: 40_000,
      min: 1,
      max: 5_000_000,
      integer: true,
    },
    {
      name: "non-ascii",
      summary: "share of the vocabulary with non-ASCII letters",
      default: 0,
      min: 0,
      max: 1,
      integer: false,
    },
  ],
  maker(random, option) {
    return textMaker(random, option("words"), option("non-ascii"));
  },
};

function textMaker(random: Random, words: number, nonAscii: number): RecordMaker {
  const { arena, places, longest } = makeVocabulary(random, words, nonAscii);
  const nextRank = zipfRanks(random, words, ZIPF_SHIFT);
  let capital = true;
  let blank = false;

  return {
    recordBytesMax: LINE_BYTES + longest + 4,
    write(cursor: Cursor) {
      if (blank) {
        blank = false;
        cursor.byte(NEWLINE);
        return;
      }
      const end = cursor.at + LINE_BYTES;
      for (;;) {
        const place = places[nextRank()]!;
        const first = cursor.at;
        const start = Math.floor(place / LENGTH_STEP);
        cursor.copyWords(arena, start, place - start * LENGTH_STEP);
        if (capital) {
          const letter = cursor.bytes[first]!;
          if (letter >= 97 && letter <= 122) cursor.bytes[first] = letter - 32;
        }
        const draw = random.below(256);
        capital = draw < 16;
        if (draw < 36) cursor.byte(capital ? (draw === 5 ? QUESTION : PERIOD) : COMMA);
        // One sentence in four ends its paragraph.
        if (capital && draw % 4 === 0) {
          blank = true;
          break;
        }
        if (cursor.at >= end) break;
        cursor.byte(SPACE);
      }
      cursor.byte(NEWLINE);
    },
  };
}
