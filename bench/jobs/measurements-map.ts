// Min, mean and max per station with a string map: what a user writes who does not know of `columns`.
import { job, max, mean, min, stats, text } from "sheaf";

export default job({
  input: text(),
  map(line, emit) {
    const separator = line.indexOf(";");
    emit(line.slice(0, separator), Number(line.slice(separator + 1)));
  },
  reduce: stats({ min: min(), mean: mean(), max: max() }),
});
