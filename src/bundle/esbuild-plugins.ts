import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import type { Message, Plugin } from "../vendor/esbuild.ts";
import { outsideUrl, placeholderUrl } from "./portable-bundle.ts";

/** `sheaf` and `sheaf/testing` of a job will be the files of the package that runs it, wherever that lies. */
export function runningPackage(): Plugin {
  return {
    name: "running-package",
    setup(build) {
      build.onResolve({ filter: /^sheaf(\/testing)?$/ }, ({ path, kind }) =>
        kind === "require-call"
          ? { path, namespace: "required-sheaf" }
          : { path: placeholderUrl(path === "sheaf" ? "sheaf" : "sheaf/testing"), external: true },
      );
      // What CommonJS code requires is imported at the head of the bundle.
      build.onLoad({ filter: /./, namespace: "required-sheaf" }, ({ path }) => ({
        contents: `export * from ${JSON.stringify(path)};`,
      }));
    },
  };
}

/** Packages that stay outside: each machine loads its own. "@scope/*" means all of a scope. */
export function outsidePackages(names: readonly string[], entry: string): Plugin {
  const escaped = names.map((name) => name.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", "[^/]*"));
  return {
    name: "outside-packages",
    setup(build) {
      if (names.length === 0) return;
      const filter = new RegExp(`^(?:${escaped.join("|")})(?:/.*)?$`);
      build.onResolve({ filter }, ({ path, kind, importer }) => {
        if (kind === "entry-point") return undefined;
        const isStatic = kind === "import-statement";
        return { path: isStatic ? outsideUrl({ specifier: path, importer, entry }) : path, external: true };
      });
    },
  };
}

/** Native addons cannot be bundled: they are loaded from where they lie. */
export function nativeAddons(): Plugin {
  return {
    name: "native-addons",
    setup(build) {
      build.onLoad({ filter: /\.node$/, namespace: "file" }, ({ path }) => ({
        contents: `module.exports = require(${JSON.stringify(path)});`,
        resolveDir: dirname(path),
      }));
      build.onResolve({ filter: /\.node$/ }, ({ path, importer, resolveDir, kind }) => {
        if (path === importer) return { path, external: true };
        // One that is not there may be one of several that are tried.
        if (kind === "require-call" && !isThere(path, resolveDir)) return { path, external: true };
        return undefined;
      });
      // `bindings` asks the stack for the file that calls it, and in a bundle that is always the bundle.
      build.onResolve({ filter: /^bindings$/ }, ({ importer, resolveDir, namespace }) =>
        namespace === "bindings" || !isThere("bindings", resolveDir)
          ? undefined
          : { path: importer, namespace: "bindings", pluginData: resolveDir },
      );
      build.onLoad({ filter: /./, namespace: "bindings" }, ({ path, pluginData }) => ({
        contents: bindingsOf(packageRoot(path)),
        resolveDir: pluginData as string,
      }));
    },
  };
}

function isThere(specifier: string, directory: string): boolean {
  try {
    return createRequire(join(directory, "none.js")).resolve(specifier) !== "";
  } catch {
    return false;
  }
}

/** `bindings`, told the package whose addon is wanted. */
function bindingsOf(root: string): string {
  return (
    `const real = require("bindings");` +
    `module.exports = Object.assign((options) => real(Object.assign({ module_root: ${JSON.stringify(root)} }, ` +
    `typeof options === "string" ? { bindings: options } : options)), real);`
  );
}

function packageRoot(file: string): string {
  for (let directory = dirname(file); ; directory = dirname(directory)) {
    const isRoot = existsSync(join(directory, "package.json")) || existsSync(join(directory, "node_modules"));
    if (isRoot || directory === dirname(directory)) return directory;
  }
}

/**
 * `require("./lib/" + name)` bundles all that lies in lib. What of it is no code becomes a module that
 * throws when it is asked for, instead of failing the job.
 */
export function notCode(paths: ReadonlySet<string>): Plugin {
  return {
    name: "not-code",
    setup(build) {
      for (const path of paths) {
        const filter = exactly(path);
        const contents = `throw new Error(${JSON.stringify(`${path} is no code that could be loaded`)});`;
        build.onLoad({ filter, namespace: "file" }, () => ({ contents }));
      }
    },
  };
}

/** Loads files without the comment that names their source map; every other character stays in its place. */
export function withoutMaps(paths: readonly string[]): Plugin {
  return {
    name: "without-maps",
    setup(build) {
      for (const path of paths) {
        build.onLoad({ filter: exactly(path), namespace: "file" }, async () => ({
          contents: (await readFile(path, "utf8")).replaceAll("sourceMappingURL=", "sourceMappingURL-"),
          loader: "default",
        }));
      }
    },
  };
}

/** A filter for that path alone. */
function exactly(path: string): RegExp {
  return new RegExp(`^${path.replace(/[.+?^${}()|[\]\\*]/g, "\\$&")}$`);
}

const NO_LOADER = /^No loader is configured for ".*?" files: (.+)$/;

/** The file that failed the build although no import names it: only a pattern matches it. */
export function matchedNoCode({ text, location }: Message, directory: string): string | null {
  const file = NO_LOADER.exec(text)?.[1];
  if (file === undefined || location === null) return null;
  // Of an import that names it, the place is that of a literal.
  const argument = Buffer.from(location.lineText).subarray(
    location.column,
    location.column + location.length,
  );
  return /^(?:"[^"]*"|'[^']*')$/.test(argument.toString()) ? null : resolve(directory, file);
}
