import { posix } from "node:path";
import type { Tree } from "./tree.js";
import { importsOf } from "./tree.js";

/** What each folder may import: folder to "all of it" or "its types". */
export type Layers = ReadonlyMap<string, ReadonlyMap<string, "all" | "types">>;

const ROW = /^\| `([\w-]+)\/` *\| *([\w, ()-]*?) *\|/gm;

/** Reads the layers table out of ARCHITECTURE.md. */
export function readLayers(markdown: string): Layers {
  const layers = new Map<string, Map<string, "all" | "types">>();
  for (const [, folder = "", list = ""] of markdown.matchAll(ROW)) {
    const names = list.split(", ").filter((name) => name !== "");
    const allowed = names.map((name): [string, "all" | "types"] => [
      name.replace(/ \(types\)$/, ""),
      name.endsWith(" (types)") ? "types" : "all",
    ]);
    layers.set(folder, new Map(allowed));
  }
  return layers;
}

/** Rows that name a folder without a row above them: with none of these a circle is impossible. */
export function forwardRows(layers: Layers): string[] {
  const above = new Set<string>();
  const wrong: string[] = [];
  for (const [folder, allowed] of layers) {
    for (const name of allowed.keys()) {
      if (!above.has(name)) wrong.push(`${folder}/ names ${name}/, which has no row above it`);
    }
    above.add(folder);
  }
  return wrong;
}

/**
 * Imports of `src/` that the table does not allow.
 * @param entries "importer imported" pairs of an entry point (src/*.ts) that a folder may load
 */
export function layerViolations(tree: Tree, layers: Layers, entries: readonly string[]): string[] {
  const violations: string[] = [];
  for (const [path, text] of tree) {
    const [, from = "", ...rest] = path.split("/");
    if (rest.length === 0) continue; // src/*.ts: entry points, which may import anything
    if (!layers.has(from))
      violations.push(`${path}: ${from}/ has no row in the layers table of ARCHITECTURE.md`);
    for (const { specifier, line, typesOnly } of importsOf(text)) {
      if (!specifier.startsWith(".")) continue;
      const target = posix.join(posix.dirname(path), specifier);
      const [, to = "", ...below] = target.split("/");
      if (to === from) continue;
      if (below.length === 0) {
        if (!entries.includes(`${path} ${target}`)) {
          violations.push(
            `${path}:${line}: imports ${target}; take what you need from the folder that has it`,
          );
        }
        continue;
      }
      const allowed = layers.get(from)?.get(to);
      if (allowed === "all" || (allowed === "types" && typesOnly)) continue;
      const how = allowed === "types" ? "may import only types of" : "may not import";
      violations.push(`${path}:${line}: ${from}/ ${how} ${to}/ (${specifier})`);
    }
  }
  return violations;
}
