import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../../", import.meta.url));

/** Files of a tree: path relative to its root, with slashes, to text. */
export type Tree = ReadonlyMap<string, string>;

export const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** The files under some folders of the project whose names end so, in order. */
export function tree(folders: readonly string[], ending: string | RegExp): Tree {
  const files = new Map<string, string>();
  for (const folder of folders) {
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).sort()) {
      const path = `${folder}/${name.replaceAll("\\", "/")}`;
      if (typeof ending === "string" ? path.endsWith(ending) : ending.test(path)) files.set(path, read(path));
    }
  }
  return files;
}

/** AssemblyScript, which has its own compiler, library and habits: no subject of the rules for TypeScript. */
export const ASSEMBLY = "src/kernel/assembly/";

/** The TypeScript of the package. */
export function sources(): Tree {
  return new Map([...tree(["src"], ".ts")].filter(([path]) => !path.startsWith(ASSEMBLY)));
}

export interface Import {
  readonly specifier: string;
  readonly line: number;
  readonly typesOnly: boolean;
}

const STATEMENT =
  /^(?:import|export)\b(\s+type\b)?[^;"'`]*?\bfrom\s*["']([^"']+)["']|^import\s+["']([^"']+)["']/gm;
const CALL = /\bimport\(\s*(?:new URL\(\s*)?["']([^"']+)["']/g;

/** Static imports and re-exports, and import() of a literal. Words in comments do not count. */
export function importsOf(text: string): Import[] {
  const found: Import[] = [];
  const code = withoutComments(text);
  const lineAt = (index: number): number => code.slice(0, index).split("\n").length;
  for (const { index, 1: type, 2: from, 3: bare } of code.matchAll(STATEMENT)) {
    found.push({ specifier: from ?? bare!, line: lineAt(index), typesOnly: type !== undefined });
  }
  for (const { index, 1: specifier } of code.matchAll(CALL)) {
    found.push({ specifier: specifier!, line: lineAt(index), typesOnly: false });
  }
  return found.sort((a, b) => a.line - b.line);
}

/** The text with comments blanked out, lines kept. Cuts no "//" inside a word or string such as "http://". */
export function withoutComments(text: string): string {
  return text
    .replace(/^\s*\/\*[\s\S]*?\*\//gm, (comment) => comment.replace(/[^\n]/g, " "))
    .replace(/(^|[\s;{}(),])\/\/ .*$/gm, "$1");
}
