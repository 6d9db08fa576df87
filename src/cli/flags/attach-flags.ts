import { switchFlag } from "../flag.ts";
import { connectFlags } from "./cluster-flags.ts";
import { runFlags } from "./run-flags.ts";

const { output, overwrite, print, collect, quiet, json } = runFlags;

/** Results of a job that has run elsewhere. */
export const fetchFlags = { output, overwrite, print, collect };

export const attachFlags = {
  ...fetchFlags,
  watch: switchFlag({
    name: "watch",
    category: "Cluster",
    doc: "Only look: Ctrl-C leaves the job running",
  }),
  ...connectFlags,
  quiet,
  json,
};
