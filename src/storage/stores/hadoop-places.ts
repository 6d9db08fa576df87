import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { SheafError } from "../../base/errors.ts";
import { asSheafError } from "../fs-error.ts";
import type { HadoopConf } from "./hadoop-conf.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** Ports on which WebHDFS or HttpFS listens when nobody says otherwise, in this and in earlier versions. */
const WEB_PORTS = new Set(["9870", "9871", "50070", "50470", "14000", "14001"]);

/** Where the WebHDFS of a file system answers: one address, or those of all its NameNodes. */
export interface HdfsServers {
  /** "http://host:port" each. */
  readonly origins: readonly string[];
  /** Said where none of them can be reached. */
  readonly hint: string;
}

/**
 * Finds the web addresses behind an authority:
 * - webhdfs://host:port and swebhdfs://host:port are web addresses themselves; several hosts have a comma
 *   between them.
 * - hdfs://host:port names the port for RPC: the web address is what the configuration says of that
 *   NameNode, else port 9870 of the host.
 * - a nameservice of the configuration stands for its NameNodes, under each scheme.
 * @param authority "" is that of fs.defaultFS
 * @throws SheafError USAGE
 */
export function serversOf(scheme: string, authority: string, conf: HadoopConf): HdfsServers {
  const given = authorityOf(authority, conf);
  if (given.includes("@")) {
    throw new SheafError("USAGE", `${scheme}://${given.replace(/^.*@/, "...@")}: an address has no user`, {
      hint: "Set HADOOP_USER_NAME, or HADOOP_TOKEN for a delegation token.",
    });
  }
  const isSecure =
    scheme === "swebhdfs" || (scheme === "hdfs" && conf.get("dfs.http.policy") === "HTTPS_ONLY");
  const key = isSecure ? "https-address" : "http-address";
  const origin = (address: string): string => `${isSecure ? "https" : "http"}://${address}`;
  const services = (conf.get("dfs.nameservices") ?? "").split(",").map((one) => one.trim());
  if (services.includes(given)) {
    const nodes = (conf.get(`dfs.ha.namenodes.${given}`) ?? "").split(",").map((one) => one.trim());
    const suffixes = nodes[0] === "" ? [given] : nodes.map((node) => `${given}.${node}`);
    const origins = suffixes.map((suffix) => {
      const rpc = conf.get(`dfs.namenode.rpc-address.${suffix}`);
      return origin(webAddress(conf.get(`dfs.namenode.${key}.${suffix}`), rpc ?? given, isSecure));
    });
    return { origins, hint: `Check dfs.namenode.${key}.${suffixes[0]} in ${conf.directory}/hdfs-site.xml.` };
  }
  const origins = given.split(",").map((one) => {
    const host = hostPort(one, `${scheme}://${given}`);
    if (scheme !== "hdfs") return origin(host.port === "" ? defaultPort(host.host, isSecure) : one);
    if (WEB_PORTS.has(host.port)) return origin(one);
    return origin(webAddress(configuredFor(one, host.host, key, conf), one, isSecure));
  });
  const hint =
    scheme === "hdfs"
      ? "hdfs:// asks WebHDFS at port 9870 of that host, or where hdfs-site.xml says (HADOOP_CONF_DIR). If it is " +
        "elsewhere, write webhdfs://HOST:PORT/..., also for HttpFS."
      : "Give the host and HTTP port of the NameNode (dfs.namenode.http-address, 9870) or of HttpFS (14000).";
  return { origins, hint };
}

/** The authority itself, or that of fs.defaultFS for an empty one. @throws SheafError USAGE */
export function authorityOf(authority: string, conf: HadoopConf): string {
  if (authority !== "") return authority;
  const value = conf.get("fs.defaultFS") ?? conf.get("fs.default.name");
  const found = /^(?:hdfs|s?webhdfs):\/\/([^/]+)/.exec(value ?? "")?.[1];
  if (found !== undefined) return found;
  throw new SheafError("USAGE", "hdfs:///... names no host, and there is no fs.defaultFS that does", {
    hint: "Write hdfs://HOST/..., or set HADOOP_CONF_DIR to the directory with core-site.xml.",
  });
}

/** What hdfs-site.xml says of the NameNode that listens for RPC there. */
function configuredFor(given: string, host: string, key: string, conf: HadoopConf): string | undefined {
  const prefix = "dfs.namenode.rpc-address";
  for (const name of conf.names(prefix)) {
    if (conf.get(name) === given) return conf.get(`dfs.namenode.${key}${name.slice(prefix.length)}`);
  }
  const isDefault = /^hdfs:\/\/([^/:]+)/.exec(conf.get("fs.defaultFS") ?? "")?.[1] === host;
  return isDefault ? conf.get(`dfs.namenode.${key}`) : undefined;
}

/** An address of all interfaces says nothing but the port. */
function webAddress(configured: string | undefined, rpc: string, isSecure: boolean): string {
  const { host } = hostPort(rpc, rpc);
  if (configured === undefined) return defaultPort(host, isSecure);
  const web = hostPort(configured, configured);
  return /^(?:0\.0\.0\.0|\[::\]|)$/.test(web.host) ? `${host}:${web.port}` : configured;
}

function defaultPort(host: string, isSecure: boolean): string {
  return `${host}:${isSecure ? 9871 : 9870}`;
}

function hostPort(text: string, address: string): { host: string; port: string } {
  const match = /^(\[[0-9a-f:.]+\]|[^:[\]/?#\s]*)(?::(\d{1,5}))?$/i.exec(text);
  if (match !== null && (match[1] !== "" || match[2] !== undefined))
    return { host: match[1]!, port: match[2] ?? "" };
  throw new SheafError("USAGE", `${address} names no host and port`, {
    hint: "Write it as webhdfs://HOST:PORT/path, hdfs://HOST/path or hdfs://NAMESERVICE/path.",
  });
}

/** Who asks, as each request says it. */
export interface HdfsIdentity {
  /** For messages. */
  readonly user: string | null;
  /** A secret. */
  readonly token: string | null;
}

/**
 * The delegation token of $HADOOP_TOKEN or of the file that $HADOOP_TOKEN_FILE_LOCATION names (in containers
 * of YARN), else $HADOOP_USER_NAME or the login name.
 * @throws SheafError TOKEN_INVALID for a file that is damaged or cannot be read
 */
export function identityOf(env: Env, authority: string): HdfsIdentity {
  const token = env["HADOOP_TOKEN"]?.trim() || tokenOfFile(env["HADOOP_TOKEN_FILE_LOCATION"], authority);
  if (token !== null) return { user: null, token };
  return { user: env["HADOOP_USER_NAME"] || loginName() || env["USER"] || null, token: null };
}

/** null where the user id of the process has no name, as in many containers. */
function loginName(): string | null {
  try {
    return userInfo().username;
  } catch {
    return null;
  }
}

const TOKEN_KINDS = /^(?:HDFS_DELEGATION_TOKEN|S?WEBHDFS delegation)$/;

function tokenOfFile(path: string | undefined, authority: string): string | null {
  if (path === undefined || path === "") return null;
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw asSheafError(error, { path, doing: "read", code: "TOKEN_INVALID" });
  }
  try {
    const tokens = tokensIn(bytes).filter(({ kind }) => TOKEN_KINDS.test(kind));
    const host = authority.replace(/:\d+$/, "");
    const meant = tokens.find(({ service }) => service === authority || service.endsWith(`:${authority}`));
    return (meant ?? tokens.find(({ service }) => service.includes(host)) ?? tokens[0])?.urlText ?? null;
  } catch (error) {
    throw new SheafError("TOKEN_INVALID", `${path} is no file of Hadoop's tokens`, {
      hint: "HADOOP_TOKEN_FILE_LOCATION names a file as `hdfs fetchdt` writes it, without --print.",
      cause: error,
    });
  }
}

interface HadoopToken {
  readonly kind: string;
  readonly service: string;
  readonly urlText: string;
}

/** The tokens of a file as Hadoop's Credentials write it: Writables, lengths as VLongs. */
function tokensIn(bytes: Buffer): HadoopToken[] {
  if (bytes.subarray(0, 4).toString("latin1") !== "HDTS" || bytes[4] !== 0)
    throw new Error("it does not begin as such a file");
  let at = 5;
  const number = (): number => {
    const first = bytes.readInt8(at++);
    if (first >= -112) return first;
    const count = first < -120 ? -120 - first : -112 - first;
    if (first < -120 || count > 4) throw new Error("a length that cannot be");
    let value = 0;
    for (let i = 0; i < count; i++) value = value * 256 + bytes.readUInt8(at++);
    return value;
  };
  const block = (): string => {
    const length = number();
    if (length < 0 || at + length > bytes.length) throw new Error("it ends too soon");
    at += length;
    return bytes.subarray(at - length, at).toString("utf8");
  };
  const tokens: HadoopToken[] = [];
  for (let left = number(); left > 0; left--) {
    block();
    const start = at;
    block();
    block();
    const kind = block();
    const service = block();
    tokens.push({ kind, service, urlText: bytes.subarray(start, at).toString("base64url") });
  }
  return tokens;
}
