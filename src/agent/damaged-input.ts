import type { ReduceInput, TaskFailure, TaskSpec } from "../task/task-spec.ts";

/** The file of inputs that a reduce could not read, when that is why it failed. */
export function damagedFile(spec: TaskSpec, failure: TaskFailure): string | null {
  const [input] = suspects(spec, failure);
  return input?.path ?? null;
}

/**
 * The map output that a reduce could not read. Of several in one file it is the one in which the damage lies;
 * null when that cannot be told, so that no map is blamed for another's.
 */
export function damagedInput(spec: TaskSpec, failure: TaskFailure): ReduceInput | null {
  const inputs = suspects(spec, failure);
  const { offset } = failure;
  if (inputs.length < 2 || offset === null) return inputs.length === 1 ? inputs[0]! : null;
  const within = ({ window }: ReduceInput): boolean =>
    window === undefined || (offset >= window.offset && offset < window.offset + window.bytes);
  return inputs.find(within) ?? null;
}

function suspects(spec: TaskSpec, { code, path }: TaskFailure): readonly ReduceInput[] {
  if (spec.kind !== "reduce" || path === null) return [];
  if (code !== "BLOCK_CORRUPT" && code !== "INPUT_MISSING") return [];
  return spec.inputs.filter((input) => input.path === path);
}
