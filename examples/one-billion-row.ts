// The One Billion Row Challenge: min, mean and max per weather station, from lines "Station Name;-12.3".
//
//   sheaf gen measurements measurements.txt --records 10000000
//   sheaf run one-billion-row.ts measurements.txt -o stations
//
// stations/part-*.tsv: "station<tab>min<tab>mean<tab>max".
// `columns` says what is key and what is value instead of a function that picks them, so the engine takes
// both straight from the bytes.
import { columns, csv, job, max, mean, min, stats } from "sheaf";

export default job({
  input: csv({
    delimiter: ";",
    quote: null,
    header: false,
    columns: { station: "string", temperature: "number" },
  }),
  map: columns("station", "temperature"),
  reduce: stats({ min: min(), mean: mean(), max: max() }),
});
