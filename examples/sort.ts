// Sorts lines by their bytes. `order: "total"` makes every line of a part precede those of the next, so that
//
//   sheaf run sort.ts big.txt -o sorted
//   cat sorted/part-*                    # equals: LC_ALL=C sort big.txt
//
// Without a map each line is a key; without a reduce the keys are written as they are, repeated ones too.
import { job, text } from "sheaf";

export default job({
  input: text(),
  order: "total",
  output: text(),
});
