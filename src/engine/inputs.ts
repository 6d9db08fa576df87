import { SheafError } from "../base/errors.ts";
import { suggest } from "../base/suggest.ts";

/** What is to be known of a job: an outline, on the wire or not. */
export interface HasInputs {
  readonly inputs?: readonly { readonly name: string }[] | undefined;
}

/** What the text of an input says: a path; in a job with several inputs a name, "=" and a path. */
export interface InputText {
  /** Index into the job's inputs; 0 where there is one. */
  readonly input: number;
  /** The name with its "=", as it was given; "" where there is one input. */
  readonly prefix: string;
  readonly path: string;
}

/** @throws SheafError USAGE naming the inputs that there are */
export function readInput({ inputs }: HasInputs, text: string): InputText {
  if (inputs === undefined) return { input: 0, prefix: "", path: text };
  const end = text.indexOf("=");
  const name = text.slice(0, Math.max(0, end));
  const input = inputs.findIndex((one) => one.name === name);
  const path = text.slice(end + 1);
  if (input >= 0 && path !== "") return { input, prefix: text.slice(0, end + 1), path };
  const names = inputs.map((one) => one.name);
  if (input >= 0) throw usage(`${text} names no path`, inputs, name);
  if (end < 0)
    throw usage(`${text} does not say which of the job's inputs it is for`, inputs, names[0]!, text);
  throw usage(`${text}: the job has no input "${name}"`, inputs, suggest(name, names) ?? names[0]!, path);
}

/**
 * The paths of each input of a job, in the order of the inputs.
 * @param mayLack of a run over single records (JobSettings.only): an input may have none
 * @throws SheafError USAGE for a text that belongs to no input, and an input that has no path
 */
export function pathsByInput(job: HasInputs, texts: readonly string[], mayLack = false): string[][] {
  const read = texts.map((text) => readInput(job, text));
  if (job.inputs === undefined) return [read.map(({ path }) => path)];
  return job.inputs.map(({ name }, index) => {
    const paths = read.filter(({ input }) => input === index).map(({ path }) => path);
    if (paths.length === 0 && !mayLack)
      throw usage(`there is no path for the input "${name}"`, job.inputs!, name);
    return paths;
  });
}

/** All paths that a text may mean while the job is not known yet. */
export function possiblePaths(text: string): string[] {
  const end = text.indexOf("=");
  return end < 0 ? [text] : [text, text.slice(end + 1)];
}

function usage(
  problem: string,
  inputs: readonly { readonly name: string }[],
  name: string,
  path = "PATH",
): SheafError {
  const names = inputs.map((one) => one.name).join(", ");
  return new SheafError("USAGE", problem, {
    hint: `The job reads ${names}. Say which with each path: ${name}=${path === "" ? "PATH" : path}`,
  });
}
