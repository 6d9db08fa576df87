import { fetchFlags } from "./attach-flags.ts";
import { connectFlags } from "./cluster-flags.ts";
import { jsonFlag } from "./display-flags.ts";

export const resultsFlags = { ...fetchFlags, ...connectFlags, json: jsonFlag };
