import type { GeneratorDefinition } from "./generator.ts";

const RECORD_BYTES = 100;
const KEY_BYTES = 10;
const NUMBER_DIGITS = 32;
const FILLER_GROUPS = 13;

/**
 * Records of the sort benchmark in its ASCII form (gensort -a), ended by one newline instead of two bytes:
 *
 *   0        10  12               44  46                          98 99
 *   | key 10 | 2 | row number 32  | 2 | 13 letters, four times each | X | \n
 *
 * Key bytes are uniform over the 95 printable ASCII characters, space included.
 */
export const terasort: GeneratorDefinition = {
  kind: "terasort",
  summary: "records of the sort benchmark: lines of 100 bytes that begin with 10 random printable bytes",
  record: "record",
  options: [],
  maker(random) {
    return {
      recordBytesMax: RECORD_BYTES,
      write(cursor, index) {
        for (let i = 0; i < KEY_BYTES; i++) cursor.byte(32 + random.below(95));
        cursor.ascii("  ");
        cursor.padded(index, NUMBER_DIGITS);
        cursor.ascii("  ");
        for (let group = 0; group < FILLER_GROUPS; group++) {
          const letter = 65 + random.below(26);
          for (let i = 0; i < 4; i++) cursor.byte(letter);
        }
        cursor.ascii("X\n");
      },
    };
  },
};
