import { createHash } from "node:crypto";
import { secretVariable, workerEnvironment } from "../security/worker-environment.ts";

/*
 * A job is to depend on its input, params and side data alone. Where its code asks for a variable of the
 * environment, the time zone or the locale all the same, its results change with that though nothing of the
 * job has: whoever takes over what an earlier run has made must know.
 */

/** What results cannot sensibly depend on, and packages ask for: terminals differ, and cron has none. */
const ofTerminals =
  /^(?:TERM|COLORTERM|FORCE_COLOR|NO_COLOR|NODE_DISABLE_COLORS|COLUMNS|LINES|CI|DEBUG|npm_\w+)$/;
const environment = String.raw`(?:process\d*\??\.env|process\d*\["env"\])`;
const member = new RegExp(
  String.raw`${environment}(?:\??\.([A-Za-z_]\w*)|(?:\?\.)?\[["'${"`"}]([A-Za-z_]\w*)["'${"`"}]\])`,
  "g",
);
const taken = new RegExp(String.raw`\{([^{}]*)\}\s*=\s*${environment}(?![.\w?[])`, "g");
const imported = /import\s*\{([^}]*)\}\s*from\s*["'](?:node:)?process["']/g;
const localTime =
  /\.(?:get|set)(?:Hours|Minutes|Date|Day|Month|FullYear|TimezoneOffset)\(|\.to(?:Date|Time)String\(/;
const localeBound = /\.toLocale\w*\(|\.localeCompare\(|\bIntl\./;

/**
 * What the code of a job asks of the place where it runs, and what it finds there: names as filesPrint has
 * them, with hashes. By its text: what is asked for by a name that is computed is not seen. Secrets are left
 * out, also as hashes.
 * @param code the bundle
 */
export function surroundingsOf(
  code: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): [name: string, sha256: string][] {
  const found: [string, string][] = variablesAskedIn(code)
    .filter((name) => !secretVariable.test(name))
    .map((name) => [JSON.stringify(["variable", name]), hashOf(env[name] ?? null)]);
  const { timeZone, locale } = new Intl.DateTimeFormat().resolvedOptions();
  const usesLocale = localeBound.test(code);
  if (usesLocale || localTime.test(code)) found.push([JSON.stringify(["time", "zone"]), hashOf(timeZone)]);
  if (usesLocale) found.push([JSON.stringify(["default", "locale"]), hashOf(locale)]);
  return found;
}

/** The variables of the environment that the code of a job asks for by name, in order. */
function variablesAskedIn(code: string): string[] {
  const names = [...code.matchAll(member)].map(([, dotted, quoted]) => (dotted ?? quoted)!);
  for (const [, inside = ""] of code.matchAll(taken)) names.push(...namesIn(inside));
  for (const [, inside = ""] of code.matchAll(imported)) {
    const [, alias = "env"] = /\benv(?:\s+as\s+(\w+))?/.exec(inside) ?? [];
    if (!/\benv\b/.test(inside)) continue;
    const of = new RegExp(String.raw`\b${alias}\??\.([A-Za-z_]\w*)`, "g");
    names.push(...[...code.matchAll(of)].map(([, name]) => name!));
  }
  return [...new Set(names)].filter((name) => !ofTerminals.test(name)).sort();
}

/**
 * What to warn of when tasks run elsewhere; null: nothing.
 * @param code the bundle
 * @param where what has those tasks: "Hadoop", "a cluster"
 * @param env what the code would find here
 */
export function variablesMissed(
  code: string,
  where: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string | null {
  const passed = workerEnvironment(env);
  const missed = variablesAskedIn(code).filter((name) => env[name] !== undefined && !(name in passed));
  if (missed.length === 0) return null;
  return (
    `the job's code asks for ${missed.join(", ")} of the environment, which tasks on ${where} do not have; ` +
    "give it params, and set them (--set)"
  );
}

/** Of `{ FACTOR, OTHER: x = "3" }`. */
function namesIn(inside: string): string[] {
  return inside.split(",").flatMap((one) => /^\s*([A-Za-z_]\w*)/.exec(one)?.[1] ?? []);
}

function hashOf(value: string | null): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex");
}
