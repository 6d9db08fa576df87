import { SheafError } from "../../base/errors.ts";
import { valueFlag } from "../flag.ts";
import type { FlagType } from "../flag-type.ts";
import { durationType, pathType } from "../flag-type.ts";

const portMax = 65_535;

/** "5000", "0.0.0.0:5000", "[::1]:5000". */
const listenType: FlagType<{ readonly host: string | undefined; readonly port: number }> = {
  kind: "string",
  parse(text, what) {
    const match = /^(?:(.+):)?(\d{1,5})$/.exec(text);
    const port = Number(match?.[2]);
    if (match !== null && port <= portMax) return { host: match[1]?.replace(/^\[(.*)\]$/, "$1"), port };
    throw new SheafError("USAGE", `${what}: "${text}" is neither a port nor HOST:PORT`, {
      hint: "Give 5000, or 0.0.0.0:5000 for workers on other machines; 0 takes any free port.",
    });
  },
};

/** How a run has its tasks done by workers that come and ask for them. */
export const driverFlags = {
  listen: valueFlag({
    name: "listen",
    placeholder: "PORT",
    type: listenType,
    category: "Cluster",
    doc: "Have the job done by workers that ask here for tasks; [HOST:]PORT",
    details: "Start them with sheaf worker --driver URL. The run ends when all of them have been told.",
  }),
  intermediate: valueFlag({
    name: "intermediate",
    placeholder: "DIR",
    type: pathType,
    category: "Cluster",
    doc: "With --listen: workers in other languages, with plain key TAB value files in DIR",
    details:
      "JOB is then only a name. Workers see the input, DIR and the output; docs/protocol.md says what they do.",
  }),
  workerTimeout: valueFlag({
    name: "worker-timeout",
    placeholder: "TIME",
    type: durationType,
    default: "60s",
    category: "Cluster",
    doc: "With --intermediate: a worker that is not heard of for so long is lost",
  }),
};
