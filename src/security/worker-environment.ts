import { SheafError } from "../base/errors.ts";

/** What programs need to find their files and to speak to people; none of it is secret. */
const passed = new Set([
  "PATH",
  "HOME",
  "USER",
  "LOGNAME",
  "SHELL",
  "LANG",
  "LANGUAGE",
  "TZ",
  "TMPDIR",
  "TMP",
  "TEMP",
  "SYSTEMROOT",
  "WINDIR",
]);

/**
 * These change what a program does before its first line runs, so that they are never anybody's to pass on.
 */
const steering =
  /^(?:NODE_|LD_|DYLD_|SHEAF_|BASH_ENV$|ENV$|PYTHONSTARTUP$|PERL5OPT$|RUBYOPT$|JAVA_TOOL_OPTIONS$)/i;

/** Names under which secrets are kept: by whole words, so that AUTHOR and KEYWORDS are none. */
export const secretVariable =
  /(?:^|_)(?:KEYS?|SECRETS?|TOKENS?|PASS|PASSWD|PASSWORD|PASSPHRASE|CREDENTIALS?|AUTH|COOKIE)(?:_|$)|APIKEY|PRIVATE/i;

/**
 * The environment of a worker process: a few variables by name, the locale, and those in `extras` (exact
 * names). What is not there, user code cannot read, print or pass on.
 * @throws SheafError USAGE for an extra that is no name of a variable, steers programs, or is named like a
 * secret
 */
export function workerEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  extras: readonly string[] = [],
): Record<string, string> {
  for (const name of extras) checkExtra(name);
  const wanted = (name: string): boolean =>
    passed.has(name.toUpperCase()) || name.startsWith("LC_") || extras.includes(name);
  const entries = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && wanted(entry[0]),
  );
  return Object.fromEntries(entries);
}

function checkExtra(name: string): void {
  const given = `the variable ${JSON.stringify(name)} cannot be passed on to workers`;
  if (!/^[A-Za-z_]\w*$/.test(name)) {
    throw new SheafError("USAGE", `${given}: that is no name of a variable`, {
      hint: "Name variables one by one, without values or wildcards.",
    });
  }
  if (steering.test(name)) {
    throw new SheafError("USAGE", `${given}: it changes how programs start`, {
      hint: "Leave it out; jobs get parameters with --set and files with aux.",
    });
  }
  if (secretVariable.test(name)) {
    throw new SheafError("USAGE", `${given}: it is named like a secret, and every job could read it`, {
      hint: "Give the machines themselves the right to what jobs need, or a file that only some jobs know.",
    });
  }
}
