// PageRank to convergence, without a program that drives it: a loop whose rounds each read the ranks of the
// one before, until no rank moves any more.
//
//   sheaf run pagerank-loop.ts links.tsv -o out
//
// links.tsv holds lines "page<tab>link link link". out/ranks has "page<tab>rank"; the ranks add up to the
// number of pages. A page without links keeps its share for itself. Killed, it goes on with the round that
// was cut off: sheaf resume @.
import { from, job, loop, pipeline, previous, text } from "sheaf";

const DAMPING = 0.85;
/** A rank that changes by less has not moved. */
const EPSILON = 1e-6;

interface Page {
  readonly rank: number;
  readonly links: readonly string[];
}

const pages = job({
  input: text(),
  map(line, emit) {
    const [page = "", links = ""] = line.split("\t");
    const targets = links.split(" ").filter((link) => link !== "");
    emit(page, targets);
    // So that a page that is only linked to is there, too.
    for (const target of targets) emit(target, []);
  },
  reduce: (_page: string, lists: Iterable<string[]>): Page => ({ rank: 1, links: [...lists].flat() }),
});

const rounds = loop({
  first: from(pages),
  step: job({
    input: previous<readonly [page: string, of: Page]>(),
    map([page, of], emit) {
      emit(page, of);
      const targets = of.links.length === 0 ? [page] : of.links;
      for (const target of targets) emit(target, of.rank / targets.length);
    },
    reduce(_page: string, values: Iterable<Page | number>, ctx): Page {
      let before: Page = { rank: 0, links: [] };
      let received = 0;
      for (const value of values) {
        if (typeof value === "number") received += value;
        else before = value;
      }
      const rank = 1 - DAMPING + DAMPING * received;
      if (Math.abs(rank - before.rank) > EPSILON) ctx.count("moved");
      return { rank, links: before.links };
    },
  }),
  until: ({ counters }) => (counters["moved"] ?? 0) === 0,
  max: 200,
});

const ranks = job({
  input: from(rounds),
  map: ([page, { rank }]): [string, string][] => [[page, rank.toFixed(4)]],
  order: "total",
});

export default pipeline({ pages, rounds, ranks });
