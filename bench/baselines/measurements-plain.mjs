// Min, mean and max per weather station as most people would write it: readline and a Map.
// usage: node measurements-plain.mjs INPUT OUTPUT
import { createReadStream, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";

const [input, output] = process.argv.slice(2);
const stations = new Map();
const lines = createInterface({ input: createReadStream(input), crlfDelay: Infinity });
lines.on("line", (line) => {
  const separator = line.indexOf(";");
  const station = line.slice(0, separator);
  const temperature = Number(line.slice(separator + 1));
  const seen = stations.get(station);
  if (seen === undefined) {
    stations.set(station, { min: temperature, max: temperature, sum: temperature, count: 1 });
  } else {
    if (temperature < seen.min) seen.min = temperature;
    if (temperature > seen.max) seen.max = temperature;
    seen.sum += temperature;
    seen.count++;
  }
});
lines.on("close", () => {
  const rows = [...stations].map(([station, s]) => `${station}\t${s.min}\t${s.sum / s.count}\t${s.max}\n`);
  writeFileSync(output, rows.join(""));
});
