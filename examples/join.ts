// An inner join of two inputs, told apart by the path of the file a record comes from:
//
//   users/*.tsv    user<tab>name
//   orders/*.tsv   user<tab>amount
//
//   sheaf run join.ts users orders -o joined
//
// joined/part-*.tsv: "user<tab>name amount", one line for every order of a known user.
import { job, text } from "sheaf";

type Side = readonly ["name", string] | readonly ["amount", number];

export default job({
  input: text(),
  map(line, emit, ctx) {
    const [user = "", field = ""] = line.split("\t");
    if (ctx.path.includes("users")) emit(user, ["name", field]);
    else emit(user, ["amount", Number(field)]);
  },
  *reduce(_user: string, sides: Iterable<Side>) {
    let name: string | undefined;
    const amounts: number[] = [];
    for (const [kind, value] of sides) {
      if (kind === "name") name = value;
      else amounts.push(value);
    }
    if (name === undefined) return;
    for (const amount of amounts) yield `${name} ${amount}`;
  },
});
