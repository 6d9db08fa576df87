import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { SheafError } from "../../base/errors.ts";
import { asSheafError, errnoOf, quotePath } from "../fs-error.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** Later ones win. */
const FILES = ["core-site.xml", "hdfs-site.xml"];
/** Files that include each other in a circle, and values that name each other. */
const DEPTH_MAX = 20;

/** What Hadoop's configuration files on this machine say: $HADOOP_CONF_DIR, else $HADOOP_HOME/etc/hadoop. */
export class HadoopConf {
  /** Where the files were looked for; null: no variable names a directory. */
  readonly directory: string | null;
  readonly #values: ReadonlyMap<string, string>;
  readonly #env: Env;

  /** @throws SheafError USAGE for a file that is no configuration, INPUT_UNREADABLE when it cannot be read */
  constructor(env: Env) {
    const home = env["HADOOP_HOME"];
    this.directory = env["HADOOP_CONF_DIR"] || (home ? join(home, "etc", "hadoop") : null);
    this.#env = env;
    const values = new Map<string, string>();
    for (const file of this.directory === null ? [] : FILES) readInto(values, join(this.directory!, file), 0);
    this.#values = values;
  }

  /** The value, with what it names as ${other} put in; undefined when there is none or it is empty. */
  get(name: string): string | undefined {
    return this.#expanded(this.#values.get(name), 0);
  }

  /** Names that begin so. */
  names(prefix: string): string[] {
    return [...this.#values.keys()].filter((name) => name.startsWith(prefix));
  }

  #expanded(value: string | undefined, depth: number): string | undefined {
    if (value === undefined || depth > DEPTH_MAX) return value;
    const text = value.replaceAll(/\$\{([^{}$\s]+)\}/g, (all, name: string) => {
      const env = /^env\.([^:-]+)(?::?-(.*))?$/.exec(name);
      if (env !== null) return this.#env[env[1]!] || env[2] || all;
      return this.#expanded(this.#values.get(name), depth + 1) ?? all;
    });
    return text === "" ? undefined : text;
  }
}

function readInto(values: Map<string, string>, path: string, depth: number): void {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT" && depth === 0) return;
    throw asSheafError(error, { path, doing: "read" });
  }
  const xml = text.replaceAll(/<!--[\s\S]*?-->/g, "");
  if (!/<configuration[\s/>]/.test(xml) || depth > DEPTH_MAX) {
    throw new SheafError("USAGE", `${quotePath(path)} is no configuration file of Hadoop`, {
      hint: "It holds <configuration> with a <property> for each setting. Check $HADOOP_CONF_DIR.",
    });
  }
  const parts = /<property\b([^>]*?)(?:\/>|>([\s\S]*?)<\/property>)|<xi:include\b[^>]*?\bhref="([^"]*)"/g;
  for (const [, attributes = "", inside = "", included] of xml.matchAll(parts)) {
    if (included !== undefined) {
      readInto(values, resolve(dirname(path), decoded(included)), depth + 1);
      continue;
    }
    const name = fieldOf("name", attributes, inside);
    const value = fieldOf("value", attributes, inside);
    if (name !== undefined && value !== undefined) values.set(name, value);
  }
}

/** Of `<property name="a" value="b"/>` or of the elements in it. */
function fieldOf(field: string, attributes: string, inside: string): string | undefined {
  const attribute = new RegExp(`\\b${field}="([^"]*)"`).exec(attributes)?.[1];
  const element = new RegExp(`<${field}>([\\s\\S]*?)</${field}>`).exec(inside)?.[1];
  const found = element ?? attribute;
  return found === undefined ? undefined : decoded(found).trim();
}

const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

function decoded(text: string): string {
  const cdata = /^\s*<!\[CDATA\[([\s\S]*)\]\]>\s*$/.exec(text);
  if (cdata !== null) return cdata[1]!;
  return text.replaceAll(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (all, hex, decimal, name: string) => {
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(String(hex), 16));
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    return ENTITIES[name] ?? all;
  });
}
