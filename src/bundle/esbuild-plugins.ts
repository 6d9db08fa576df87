import { readFile } from "node:fs/promises";
import { dirname, extname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { BuildOptions, Loader, Plugin } from "../vendor/esbuild.ts";
import { placeholderUrl } from "./portable-bundle.ts";

/** `sheaf` and `sheaf/testing` of a job will be the files of the package that runs it, wherever that lies. */
export function runningPackage(): Plugin {
  return {
    name: "running-package",
    setup(build) {
      build.onResolve({ filter: /^sheaf(\/testing)?$/ }, ({ path }) => ({
        path: placeholderUrl(path === "sheaf" ? "sheaf" : "sheaf/testing"),
        external: true,
      }));
    },
  };
}

/** Native addons cannot be bundled: they are loaded from where they lie. */
export function nativeAddons(): Plugin {
  return {
    name: "native-addons",
    setup(build) {
      build.onResolve({ filter: /\.node$/ }, ({ path, resolveDir }) =>
        path.startsWith(".") || path.startsWith("/")
          ? { path: resolve(resolveDir, path), external: true }
          : undefined,
      );
    },
  };
}

/** Things a bundled ES module has no answer to unless they are put in file by file. */
export const unsupportedPaths =
  /\b__require\b|\bimport\.meta\.(?:url|dirname|filename)\b|\b__(?:dirname|filename)\b/;

const LOADERS: Readonly<Record<string, Loader>> = {
  ".ts": "ts",
  ".mts": "ts",
  ".cts": "ts",
  ".tsx": "tsx",
  ".js": "js",
  ".mjs": "js",
  ".cjs": "js",
  ".jsx": "jsx",
};

/**
 * Gives every source file its own import.meta.url, __dirname and __filename as constants on its first line
 * (so that
 * line numbers stay), and the bundle a `require` that starts from the job file.
 */
export function perFilePaths(entry: string, plugins: readonly Plugin[]): BuildOptions {
  const perFile: Plugin = {
    name: "per-file-paths",
    setup(build) {
      build.onLoad({ filter: /\.[cm]?[jt]sx?$/, namespace: "file" }, async ({ path }) => {
        const text = await readFile(path, "utf8");
        if (!/import\.meta|__dirname|__filename/.test(text)) return undefined;
        const constants = [
          ["__sheafUrl", pathToFileURL(path).href],
          ["__filename", path],
          ["__dirname", dirname(path)],
        ].filter(
          ([name]) => name === "__sheafUrl" || !new RegExp(`\\b(?:const|let|var)\\s+${name}\\b`).test(text),
        );
        const line = constants.map(([name, value]) => `var ${name}=${JSON.stringify(value)};`).join("");
        const contents = text.startsWith("#!") ? `//${text.slice(2)}` : text;
        return { contents: `${line}${contents}`, loader: LOADERS[extname(path)] ?? "js" };
      });
    },
  };
  const require = `import { createRequire as __sheafCreateRequire } from "node:module";`;
  return {
    plugins: [...plugins, perFile],
    define: {
      "import.meta.url": "__sheafUrl",
      "import.meta.filename": "__filename",
      "import.meta.dirname": "__dirname",
    },
    banner: { js: `${require} const require = __sheafCreateRequire(${JSON.stringify(entry)});` },
  };
}
