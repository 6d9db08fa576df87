// Orders and turnover per city, with a Map and one of the two libraries for csv that most people take.
// usage: node csv-script.mjs papaparse|csv-parse INPUT OUTPUT  (npm install papaparse csv-parse beside INPUT)
import { createReadStream, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const [library, input, output] = process.argv.slice(2);
const required = createRequire(input)(library);
const cities = new Map();

function add({ city, price }) {
  const seen = cities.get(city);
  if (seen === undefined) cities.set(city, { orders: 1, turnover: Number(price) });
  else {
    seen.orders++;
    seen.turnover += Number(price);
  }
}

const source = createReadStream(input);
if (library === "csv-parse") {
  for await (const row of source.pipe(required.parse({ columns: true }))) add(row);
} else {
  await new Promise((complete, error) => {
    required.parse(source, {
      header: true,
      skipEmptyLines: true,
      step: ({ data }) => add(data),
      complete,
      error,
    });
  });
}
writeFileSync(output, [...cities].map(([city, s]) => `${city}\t${s.orders}\t${s.turnover}\n`).join(""));
