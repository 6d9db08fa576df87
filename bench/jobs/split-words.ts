// The word count that the programs for Spark are: words are what white space leaves.
import { job, sum, text } from "sheaf";

export default job({
  input: text(),
  map(line, emit) {
    for (const word of line.split(" ")) if (word !== "") emit(word, 1);
  },
  reduce: sum(),
});
