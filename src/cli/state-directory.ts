import { homedir } from "node:os";
import { defaultStateDirectory } from "../engine/job-history.ts";
import type { World } from "./world.ts";

/** Where the history of this user's jobs is. */
export function stateDirectoryOf(world: World): string {
  return defaultStateDirectory({ ...world.env }, homedir());
}
