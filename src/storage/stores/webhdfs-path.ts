import { SheafError } from "../../base/errors.ts";
import { quotePath } from "../fs-error.ts";
import type { HdfsIdentity } from "./hadoop-places.ts";
import type { HdfsDoing } from "./webhdfs-errors.ts";

export interface HdfsTarget {
  /** Of a file or directory, beginning with "/", nothing encoded. */
  readonly path: string;
  /** The same as the user knows it. */
  readonly address: string;
}

/** Of an operation; one that is undefined or "" is left out. */
export type HdfsParams = Readonly<Record<string, string | number | undefined>>;

/** Of a request for an operation, with its query. */
export function requestPath(
  { user, token }: HdfsIdentity,
  { path }: HdfsTarget,
  op: string,
  params: HdfsParams,
): string {
  const query = new URLSearchParams({ op });
  if (token !== null) query.set("delegation", token);
  else if (user !== null) query.set("user.name", user);
  for (const [name, value] of Object.entries(params))
    if (value !== undefined && value !== "") query.set(name, String(value));
  return `/webhdfs/v1${encodedPath(path)}?${query.toString()}`;
}

/** Some proxies and older servers do not take an encoded "=", which Hive's directories have. */
function encodedPath(path: string): string {
  return path
    .split("/")
    .map((part) => encodeURIComponent(part).replaceAll("%3D", "="))
    .join("/");
}

/**
 * Where a redirect leads. Java composes letters and their accents on the way (URI.toASCIIString), which makes
 * another name: the one that was asked for is put back.
 */
export function redirectedTo(
  location: string,
  from: string,
  { target, doing }: { readonly target: HdfsTarget; readonly doing: HdfsDoing },
): { origin: string; path: string } {
  const match = /^(https?:\/\/[^/?#]+)(\/.*)$/i.exec(location);
  const isDowngrade = from.startsWith("https:") && !location.startsWith("https:");
  if (match !== null && !isDowngrade && URL.canParse(match[1]!)) {
    const path = match[2]!;
    const parts = /^(.*?\/webhdfs\/v1)(\/[^?]*)(.*)$/.exec(path);
    const isSame = parts !== null && decoded(parts[2]!).normalize("NFC") === target.path.normalize("NFC");
    const own = isSame ? parts[1]! + encodedPath(target.path) + parts[3]! : path;
    return { origin: new URL(match[1]!).origin, path: own };
  }
  const where = location.replace(/\?.*$/, "");
  const message = `cannot ${doing} ${quotePath(target.address)}: ${from} points to ${quotePath(where)}`;
  throw new SheafError("UNREACHABLE", message, {
    hint: isDowngrade
      ? "A server that is asked over TLS must not point to one without. Set dfs.http.policy on the DataNodes."
      : "That is no address of a DataNode. Look at the settings of the server, or of a proxy before it.",
    details: { path: target.address, server: from },
  });
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
