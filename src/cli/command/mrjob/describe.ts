import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import Type from "typebox";
import type { Static } from "typebox";
import { Check, Errors } from "typebox/value";
import { describeThrown, SheafError } from "../../../base/errors.ts";
import { packageUrl } from "../../../base/package-places.ts";
import { MiB } from "../../../base/size.ts";

const Text = Type.String({ maxLength: 100_000 });
const Words = Type.Array(Text, { maxItems: 10_000 });
const Named = Type.Record(Type.String({ maxLength: 1_000 }), Text);
const OrNull = Type.Union([Text, Type.Null()]);

/** What python/sheaf_mrjob.py says of a script. */
const JobSchema = Type.Object({
  /** Its name among the files. */
  script: Text,
  /** The interpreter that mrjob.conf or the job's options ask for; empty: none. */
  python: Words,
  /** Paths by the names that tasks find the files under. */
  files: Named,
  cmdenv: Named,
  partitioner: OrNull,
  inputFormat: OrNull,
  outputFormat: OrNull,
  steps: Type.Array(
    Type.Object({
      jobconf: Named,
      /** What the script is called with, for each function that the step has. */
      mapper: Type.Optional(Words),
      combiner: Type.Optional(Words),
      reducer: Type.Optional(Words),
    }),
    { minItems: 1, maxItems: 1_000 },
  ),
});
export type MrjobDescription = Static<typeof JobSchema>;

const describer = fileURLToPath(new URL("python/sheaf_mrjob.py", packageUrl));
const answerBytesMax = 16 * MiB;
/** Of what it said last, told when it fails. */
const saidCharsMax = 4_000;

/**
 * Asks mrjob, in that Python, what a script of it does.
 * @param options arguments of the job, as after `python job.py`
 * @throws SheafError JOB_LOAD with what the script, mrjob or the lack of it says
 */
export async function describeMrjob(
  python: string,
  script: string,
  options: readonly string[],
  { cwd, env }: { readonly cwd: string; readonly env: Readonly<Record<string, string | undefined>> },
): Promise<MrjobDescription> {
  const { code, answer, said } = await ran(python, [describer, script, ...options], cwd, env);
  if (code !== 0) {
    const last = said.trim() === "" ? `it ended with exit code ${code}` : said.trim();
    throw new SheafError("JOB_LOAD", `${script}: ${last}`, {
      hint: /cannot load mrjob/.test(last)
        ? `Install it (${python} -m pip install mrjob), or name a Python that has it: --python venv/bin/python.`
        : "Change the script, or what stands after --; docs/mrjob.md says what is taken.",
    });
  }
  let found: unknown;
  try {
    found = JSON.parse(answer);
  } catch (cause) {
    throw unclear(script, describeThrown(cause));
  }
  if (Check(JobSchema, found)) return found;
  const [first] = Errors(JobSchema, found);
  throw unclear(script, `${first?.instancePath ?? ""} ${first?.message ?? ""}`);
}

function unclear(script: string, why: string): SheafError {
  return new SheafError("JOB_LOAD", `${script}: what mrjob says of it cannot be read (${why})`, {
    hint: "sheaf knows mrjob 0.7: install it with pip install 'mrjob>=0.7,<0.8'.",
  });
}

interface Said {
  readonly code: number | null;
  readonly answer: string;
  readonly said: string;
}

function ran(
  python: string,
  words: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Said> {
  return new Promise((resolve, reject) => {
    const child = spawn(python, words, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    const answer: Buffer[] = [];
    let bytes = 0;
    let said = "";
    child.stdout.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > answerBytesMax) child.kill("SIGKILL");
      else answer.push(chunk);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-saidCharsMax);
    });
    child.once("error", (cause) =>
      reject(
        new SheafError("JOB_LOAD", `${python} cannot be started: ${describeThrown(cause)}`, {
          hint: "Name the Python that has mrjob: --python venv/bin/python.",
          cause,
        }),
      ),
    );
    child.once("close", (code) => resolve({ code, answer: Buffer.concat(answer).toString("utf8"), said }));
  });
}
