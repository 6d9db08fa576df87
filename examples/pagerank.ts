// PageRank: sheaf as a library, one run() per round in an ordinary loop.
//
//   node pagerank.ts links.tsv 20          # Node 22.18 or newer; compile it first for an older one
//
// links.tsv holds lines "page<tab>link link link". Prints the ten best pages. Each round maps every page to
// shares of its rank for the pages it links to; the ranks of the round before come in as a parameter of the
// job.
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { job, run, sum, text } from "sheaf";

const DAMPING = 0.85;

type Ranks = Readonly<Record<string, number>>;

const round = job({
  params: { ranks: {} as Ranks },
  input: text(),
  map(line, emit, ctx) {
    const [page = "", links = ""] = line.split("\t");
    const targets = links.split(" ").filter((link) => link !== "");
    const rank = ctx.params.ranks[page] ?? 1;
    // Nothing, so that a page that no other links to is there too.
    emit(page, 0);
    for (const target of targets) emit(target, rank / targets.length);
  },
  reduce: sum(),
});

// Workers load this file and take the job from here.
export default round;

/** Rank of every page after some rounds; the ranks add up to the number of pages. */
export async function pageRank(inputs: string, rounds: number): Promise<Ranks> {
  let ranks: Ranks = {};
  for (let i = 0; i < rounds; i++) {
    const result = await run(round, {
      inputs,
      file: import.meta.url,
      params: { ranks },
      stateDirectory: null,
    });
    const received: [page: string, share: number][] = [];
    for await (const [page, share] of result.records()) received.push([String(page), Number(share)]);
    await result.dispose();
    // What pages without links had is shared out evenly, or it would be lost.
    const kept = received.reduce((total, [, share]) => total + share, 0) / received.length;
    ranks = Object.fromEntries(received.map(([page, share]) => [page, 1 + DAMPING * (share - kept)]));
  }
  return ranks;
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const ranks = await pageRank(process.argv[2] ?? "links.tsv", Number(process.argv[3] ?? 20));
  const best = Object.entries(ranks).toSorted((a, b) => b[1] - a[1]);
  for (const [page, rank] of best.slice(0, 10)) console.log(`${rank.toFixed(4)}  ${page}`);
}
