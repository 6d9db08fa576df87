// A question in two steps: of the player who had the largest winnings of 2016, what were the smallest in
// 2013? The answer of the first job is a parameter of the second.
//
//   node two-step-query.ts winnings.csv    # Node 22.18 or newer; compile it first for an older one
//
// winnings.csv: "player,date,winnings" with dates as 2016-07-31. Job objects that are not a file's default
// export run on this thread; for large inputs give each job a file of its own and run() its `file`, or use
// `sheaf run`.
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { argMax, argMin, csv, job, run } from "sheaf";

interface Play {
  readonly player: string;
  readonly date: string;
  readonly winnings: number;
}

const plays = csv({ columns: { player: "string", date: "string", winnings: "number" } });

const best = job({
  params: { year: "2016" },
  input: plays,
  map(play, emit, ctx) {
    if (play.date.startsWith(ctx.params.year)) emit("best", play);
  },
  reduce: argMax<Play>({ by: (play) => play.winnings }),
});

const worst = job({
  params: { year: "2013", player: "" },
  input: plays,
  map(play, emit, ctx) {
    if (play.player === ctx.params.player && play.date.startsWith(ctx.params.year)) emit("worst", play);
  },
  reduce: argMin<Play>({ by: (play) => play.winnings }),
});

/** The play that answers; undefined when there is none. */
export async function worstOfTheBest(
  inputs: string,
  bestYear = "2016",
  worstYear = "2013",
): Promise<Play | undefined> {
  const winner = await onlyResult(best, { inputs, params: { year: bestYear } });
  if (winner === undefined) return undefined;
  return onlyResult(worst, { inputs, params: { year: worstYear, player: winner.player } });
}

async function onlyResult(
  step: typeof best,
  options: { readonly inputs: string; readonly params: Readonly<Record<string, string>> },
): Promise<Play | undefined> {
  const result = await run(step, { ...options, stateDirectory: null });
  try {
    for await (const [, play] of result.records()) return play as Play;
    return undefined;
  } finally {
    await result.dispose();
  }
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  console.log(await worstOfTheBest(process.argv[2] ?? "winnings.csv"));
}
