import { join, resolve } from "node:path";
import { stateDirectoryOf } from "./state-directory.ts";
import type { World } from "./world.ts";

/** State of a coordinator on this machine, unless --state says otherwise. Clients look there for tokens. */
export function coordinatorStateOf(world: World, given?: string): string {
  return given === undefined ? join(stateDirectoryOf(world), "coordinator") : resolve(world.cwd, given);
}

/** State of an agent on this machine: each name has its own. */
export function agentStateOf(world: World, name: string, given?: string): string {
  return given === undefined ? join(stateDirectoryOf(world), "agents", name) : resolve(world.cwd, given);
}
