// Sorts numbers, one a line, from the largest to the smallest: what `sort -gr` does.
//
//   sheaf run descending-sort.ts numbers.txt -o sorted
//   cat sorted/part-*
//
// `desc` turns the order of a key round, here and within an array: emit([row.city, desc(row.price)], row).
// Writers and reduces see the plain key. Lines that are no numbers fail the job; --max-bad sets them aside.
import { desc, job, text } from "sheaf";

export default job({
  input: text(),
  map(line, emit) {
    const number = line.trim() === "" ? NaN : Number(line);
    if (Number.isNaN(number)) throw new Error(`${JSON.stringify(line)} is no number`);
    emit(desc(number));
  },
  order: "total",
});
