// Lines that match a regular expression, in the order of the input. There is no reduce: what map emits is the
// output.
//
//   sheaf run grep.ts server.log -o matches --set pattern='error|fatal'
//
// The counter "matched" in the summary tells how many there were.
import { job, text } from "sheaf";

export default job({
  input: text(),
  params: { pattern: "error" },
  setup: (ctx) => new RegExp(ctx.params.pattern, "u"),
  map(line, emit, ctx) {
    if (!ctx.state.test(line)) return;
    ctx.count("matched");
    emit(line);
  },
  output: text(),
});
