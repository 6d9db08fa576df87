// Counts the keys of generated "pairs" lines: 2 or 3 keys, a tab, filler.
import { job, sum, text } from "sheaf";

export default job({
  input: text(),
  map(line, emit) {
    for (const key of line.slice(0, line.indexOf("\t")).split(" ")) emit(key, 1);
  },
  reduce: sum(),
});
