import { inCategory, repeatedFlag, switchFlag, types, valueFlag } from "../../flag.ts";

/** How a run on an engine that users have is told of it. */
export const hostedFlags = inCategory("Hadoop and Spark", {
  master: valueFlag(
    "--master M",
    types.string,
    "With --on spark: where, as spark-submit has it: local[2], yarn",
    {
      default: "what Spark's own configuration says",
    },
  ),
  deployMode: valueFlag(
    "--deploy-mode MODE",
    types.choice(["client", "cluster"]),
    "With --on spark: where its driver runs, client or cluster",
    { default: "client" },
  ),
  conf: repeatedFlag("--conf NAME=VALUE", types.assignment, "A property of the engine; may be repeated", {
    details: "As -D of hadoop and --conf of spark-submit. Those that results depend on are refused.",
  }),
  nodeBin: valueFlag(
    "--node-bin FILE",
    types.path,
    "Node for the tasks, when theirs is another kind of machine",
    {
      default: "the one that runs this command; it travels with the job",
    },
  ),
  engineTemp: valueFlag(
    "--engine-temp URI",
    types.string,
    "Directory that all nodes see, for what a job needs and makes until it ends",
    { default: ".sheaf in your home directory on the engine's file system" },
  ),
  jar: switchFlag("--jar", "With --on hadoop: its tasks get sheaf's jar; on unless --no-jar", {
    details:
      "--no-jar is for clusters that take no jars of their users': maps are not placed near their input then, results " +
      "come to this machine first, and why a task has failed is read from its log, where that can be had.",
  }),
  printCommand: switchFlag(
    "--print-command",
    "Run nothing: copy what the job needs to the engine's file system, and print its command",
    { details: "For EMR, Dataproc and others that take a command as a step. docs/engines.md." },
  ),
});
