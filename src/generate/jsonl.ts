import type { GeneratorDefinition } from "./generator.ts";
import { encodeAll } from "./pieces.ts";

const KINDS = ["view", "view", "view", "view", "click", "click", "search", "buy"];
const COUNTRIES = ["de", "fr", "gb", "in", "jp", "br", "us", "us"];
const TAGS = encodeAll([
  "[]",
  '["new"]',
  '["mobile","beta"]',
  '["größe","été"]',
  '["quote\\"d","back\\\\slash","日本"]',
]);
const START_MS = 1_704_067_200_000; // 2024-01-01T00:00:00Z

/** Events as JSON, one object a line, in the order of time. A `buy` also has an amount. */
export const jsonlData: GeneratorDefinition = {
  kind: "jsonl",
  summary: "events as JSON, one object a line: id, time, user, kind, country, ms, tags, sometimes amount",
  record: "event",
  options: [
    {
      name: "users",
      summary: "different users",
      default: 100_000,
      min: 1,
      max: 1_000_000_000,
      integer: true,
    },
  ],
  maker(random, option) {
    const users = option("users");
    let timeMs = START_MS;
    return {
      recordBytesMax: 256,
      write(cursor, index) {
        timeMs += random.below(50);
        const kind = KINDS[random.below(KINDS.length)]!;
        cursor.ascii('{"id":');
        cursor.integer(index + 1);
        cursor.ascii(',"time":');
        cursor.integer(timeMs);
        cursor.ascii(',"user":"u');
        cursor.integer(random.below(users));
        cursor.ascii('","kind":"');
        cursor.ascii(kind);
        cursor.ascii('","country":"');
        cursor.ascii(COUNTRIES[random.below(COUNTRIES.length)]!);
        cursor.ascii('","ms":');
        cursor.integer(random.below(2000));
        cursor.ascii(',"tags":');
        const tags = TAGS[random.below(TAGS.length)]!;
        cursor.copy(tags);
        if (kind === "buy") {
          cursor.ascii(',"amount":');
          cursor.integer(random.below(500));
          cursor.byte(46);
          // No zero at the end: JSON.stringify of the parsed event gives the same text.
          cursor.byte(48 + random.below(10));
          cursor.byte(49 + random.below(9));
        }
        cursor.ascii("}\n");
      },
    };
  },
};
