import type { GeneratorDefinition } from "./generator.ts";
import { encodeAll } from "./pieces.ts";
import { stations } from "./stations.ts";

const PRODUCTS = encodeAll([
  "lamp",
  "desk",
  "chair",
  "kettle",
  '"Reading lamp, brass"',
  '"Desk, 4"" drawer"',
  "théière",
  '"Poêle, 28 cm"',
]);
const NOTES = encodeAll([
  "",
  "gift",
  "rush order",
  '"no rush, thanks"',
  '"say ""hello"""',
  "laissé au voisin",
]);
const NOTES_OF_LINES = encodeAll([
  '"ring twice\nthen wait"',
  '"first line\n\nthird line, after an empty one"',
  '"he said ""leave it""\nand left"',
]);

/** Orders with quoted fields (RFC 4180): commas, doubled quotes and, in some, newlines inside quotes. */
export const csvData: GeneratorDefinition = {
  kind: "csv",
  summary: "orders as CSV with a header, quoted fields, and newlines inside some of them",
  record: "row",
  options: [
    {
      name: "multiline",
      summary: "share of rows with a newline inside a field",
      default: 0.02,
      min: 0,
      max: 1,
      integer: false,
    },
  ],
  maker(random, option) {
    const multiline = option("multiline");
    const cities = encodeAll(stations);
    return {
      recordBytesMax: 256,
      header: (cursor) => cursor.ascii("id,date,city,product,quantity,price,note\n"),
      write(cursor, index) {
        cursor.integer(index + 1);
        cursor.ascii(",20");
        cursor.padded(15 + random.below(10), 2);
        cursor.byte(45);
        cursor.padded(1 + random.below(12), 2);
        cursor.byte(45);
        cursor.padded(1 + random.below(28), 2);
        cursor.byte(44);
        const city = cities[random.below(cities.length)]!;
        cursor.copy(city);
        cursor.byte(44);
        const product = PRODUCTS[random.below(PRODUCTS.length)]!;
        cursor.copy(product);
        cursor.byte(44);
        cursor.integer(1 + random.below(9));
        cursor.byte(44);
        const cents = random.below(50_000);
        cursor.integer(Math.floor(cents / 100));
        cursor.byte(46);
        cursor.padded(cents % 100, 2);
        cursor.byte(44);
        const notes = random.next() < multiline ? NOTES_OF_LINES : NOTES;
        const note = notes[random.below(notes.length)]!;
        cursor.copy(note);
        cursor.byte(10);
      },
    };
  },
};
