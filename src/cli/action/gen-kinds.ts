import { generators } from "../../generate/index.ts";
import type { HelpSection } from "../command.ts";

/** The kinds of data `sheaf gen` can make, and the options of each, for its help. */
export function genKindsHelp(): readonly HelpSection[] {
  const kinds = generators.map((kind): [string, string] => [kind.kind, `${kind.summary}.`]);
  const options = generators.flatMap((kind) =>
    kind.options.map((option): [string, string] => [
      `${kind.kind} ${option.name}=${option.default}`,
      `${option.summary}, ${option.min} to ${option.max}`,
    ]),
  );
  return [
    { title: "Kinds", entries: kinds },
    { title: "Options of the kinds, by --set, with their defaults", entries: options },
  ];
}
