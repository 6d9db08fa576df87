// The loop of many analyses: a job counts, its result is downloaded, a program of any kind makes scores of
// it, the scores are uploaded, and the next job uses them.
//
//   sheaf run score-loop.ts count=views.tsv weigh.views=views.tsv -o out
//
// views.tsv holds lines "user<tab>item". out/weigh has the items of each user, with the score of the rarest
// first. Here the places are directories beside this file; with a cluster, those that its agents see.
import { from, job, jsonl, pipeline, script, sum, text, transfer } from "sheaf";

interface Score {
  readonly item: string;
  readonly score: number;
}

const count = job({
  input: text(),
  map(line, emit) {
    emit(line.split("\t")[1] ?? "", 1);
  },
  reduce: sum(),
});

const download = transfer({ from: from(count), to: "score-loop/local" });

const score = script({
  run: ["node", "score-items.mjs", "{in.counts}", "{out.scores}"],
  in: { counts: from(download) },
  out: { scores: jsonl<Score>() },
});

const upload = transfer({ from: from(score, "scores"), to: "score-loop/shared", as: jsonl<Score>() });

const weigh = job({
  inputs: { scores: from(upload), views: text() },
  map: {
    scores({ item, score: value }, emit) {
      emit(item, { score: value });
    },
    views(line, emit) {
      const [user = "", item = ""] = line.split("\t");
      emit(item, { user });
    },
  },
  reduce(item: string, values: Iterable<{ score?: number; user?: string }>) {
    const all = [...values];
    const value = all.find((one) => one.score !== undefined)?.score ?? 0;
    return { score: value, users: all.flatMap((one) => one.user ?? []).toSorted(), item };
  },
  output: jsonl({ shape: "record" }),
});

export default pipeline({ count, download, score, upload, weigh });
