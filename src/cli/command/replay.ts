import type { Command } from "../command.ts";
import { replayFlags } from "../flags/replay-flags.ts";

export const replayCommand: Command<typeof replayFlags> = {
  name: "replay",
  summary: "Run a failed task again, here, on the same data",
  details: [
    "Every failed task leaves a capsule in its job's directory: the code that ran, and what it ran on. Replay runs that " +
      "one task on the main thread and shows what happens. Nothing is written to the job's output.",
    "HANDLE names the task: @:map-17 is map task 17 of the latest job, @?NAME:map-17 of the latest job of that name, " +
      "ID:map-17 of the job whose id begins so. Without a task it is the first one that failed.",
    "With --on it is a task of a cluster's job: its coordinator has the code, and the input is read here, at the path " +
      "at which the agents have read it. Of a file that is not here it says which agent has it. Only maps can be " +
      "replayed so: what a reduce has read goes with its job.",
  ],
  arguments: [{ name: "HANDLE", doc: "Job, or job:task; default @", required: false, complete: "handle" }],
  flags: replayFlags,
  examples: [
    { command: "sheaf replay", doc: "The first failed task of the latest job" },
    {
      command: "sheaf replay @:map-17 --inspect",
      doc: "Stop in the debugger at the first line of map task 17",
    },
    {
      command: "sheaf replay @:map-17 --on http://10.0.0.1:7077",
      doc: "Map task 17 of the latest job of a cluster, on this machine",
    },
  ],
  load: () => import("../action/replay.ts"),
};
