import type { ErrorCode } from "../../base/errors.ts";
import { isSheafError, SheafError } from "../../base/errors.ts";
import { quotePath } from "../fs-error.ts";

/** What is done with a file: decides what an error of the server is for the job. */
export type HdfsDoing = "list" | "read" | "write" | "rename" | "remove";

/** What a server said: its own exception, or null where the answer is not WebHDFS's. */
export interface HdfsRefusal {
  readonly status: number;
  readonly exception: string | null;
  /** First line. */
  readonly message: string;
  readonly retryAfterMs: number;
}

/** Exceptions after which another NameNode of the pair is asked. */
const STANDBY = /^(?:StandbyException|ObserverRetryOnActiveException)$/;
/** Exceptions that pass. HttpFS, which asks in our place, tells of connections of its own. */
const PASSING =
  /^(?:RetriableException|SafeModeException|RpcNoSuchServerException|RpcServerException|ServerTooBusy|BlockMissingException|NotReplicatedYetException|RecoveryInProgressException|AlreadyBeingCreatedException|LeaseExpiredException|ConnectException|ConnectTimeoutException|SocketTimeoutException|SocketException|NoRouteToHostException|EOFException|InterruptedIOException|ClosedChannelException)$/;
const NOT_THERE = /^(?:FileNotFoundException|ParentNotDirectoryException|PathNotFoundException)$/;

export function isStandby({ exception }: HdfsRefusal): boolean {
  return exception !== null && STANDBY.test(exception);
}

export function isNotThere({ exception }: HdfsRefusal): boolean {
  return exception !== null && NOT_THERE.test(exception);
}

/** Whether it may be another answer a little later. */
export function isPassingRefusal({ exception, status }: HdfsRefusal): boolean {
  return exception === null ? status === 429 || status >= 500 : PASSING.test(exception);
}

/** Whether no file can have that name, as one with ":". */
export function isNoName({ exception, message }: HdfsRefusal): boolean {
  return exception === "InvalidPathException" || /is not a valid DFS filename/.test(message);
}

/** Whether the offset is behind the end of the file, which then is not the one that was listed. */
export function isBehindEnd({ exception, message }: HdfsRefusal): boolean {
  return exception === "IOException" && /^Offset=.*out of the range/.test(message);
}

/** Takes the answer of a server that refused apart. */
export function refusalOf(status: number, body: string, retryAfter: unknown): HdfsRefusal {
  const seconds = typeof retryAfter === "string" ? Number(retryAfter) : Number.NaN;
  const retryAfterMs = seconds > 0 && seconds < 3_600 ? seconds * 1_000 : 0;
  try {
    const { RemoteException: told } = JSON.parse(body) as {
      RemoteException?: { exception?: unknown; message?: unknown };
    };
    if (typeof told?.exception === "string") {
      // HttpFS tells of NameNodes' exceptions in the words of one of its own.
      const nested = /^(?:[a-z]\w*\.)+(\w+Exception): /.exec(String(told.message));
      const exception = told.exception === "RemoteException" && nested !== null ? nested[1]! : told.exception;
      return { status, exception, message: firstLine(String(told.message ?? "")), retryAfterMs };
    }
  } catch {
    // Not of WebHDFS: a proxy, another server, the port for RPC.
  }
  return { status, exception: null, message: firstLine(body), retryAfterMs };
}

/** What a token is told of in messages of servers: they quote the request. */
function firstLine(text: string): string {
  const line = text.trim().split("\n", 1)[0]!.slice(0, 500);
  return line.replaceAll(/(delegation=)[^&\s"]+/g, "$1...");
}

export interface RefusedRequest {
  /** Of the file or directory, as the user knows it. */
  readonly address: string;
  readonly doing: HdfsDoing;
  /** "http://host:port" that answered. */
  readonly origin: string;
  readonly user: string | null;
  /** How the address of the server was found; see HdfsServers. */
  readonly hint: string;
}

/** The error that a refusal is for the job. */
export function refusalError(refusal: HdfsRefusal, request: RefusedRequest): SheafError {
  const { status, exception, message, retryAfterMs } = refusal;
  const { address, doing, origin, user, hint } = request;
  const reading = doing === "list" || doing === "read";
  const usual: ErrorCode = reading ? "INPUT_UNREADABLE" : "OUTPUT_UNWRITABLE";
  const cannot = `cannot ${doing} ${quotePath(address)}`;
  const told = (code: ErrorCode, what: string, todo: string, retryable = false): SheafError =>
    new SheafError(code, `${cannot}: ${what}`, {
      hint: todo,
      retryable,
      details: { path: address, server: origin, ...(retryAfterMs > 0 && { retryAfterMs }) },
    });
  if (exception === null) {
    if (status === 401) {
      return told(
        "UNAUTHORIZED",
        `${origin} wants to know who asks`,
        "Of a cluster with Kerberos a delegation token is needed, which GETDELEGATIONTOKEN gives " +
          "(curl --negotiate -u :); set HADOOP_TOKEN to it.",
      );
    }
    // The beginning of an answer, or none: the rest was cut off.
    if (status < 300 && (message === "" || message.startsWith("{")))
      return told("UNREACHABLE", `${origin} answers half of what it has to say`, "See its log.", true);
    if (isPassingRefusal(refusal))
      return told(
        "UNREACHABLE",
        `${origin} answers ${status}`,
        "It is starting, or busy. Look at its log.",
        true,
      );
    if (message.includes("Hadoop IPC port"))
      return told("UNREACHABLE", `${origin} is the port for RPC, not that of WebHDFS`, hint);
    return told("UNREACHABLE", `${origin} answers ${status}, and not as WebHDFS does`, hint);
  }
  const words = message === "" ? exception : `${exception}: ${message}`;
  if (/^(?:AccessControl|Authorization|Security)Exception$/.test(exception) || status === 401) {
    if (/token/i.test(message) || status === 401)
      return told("UNAUTHORIZED", words, "Get a new delegation token, and set HADOOP_TOKEN to it.");
    const as = user === null ? "a delegation token" : `user ${user}`;
    return told(usual, words, `It was asked for by ${as}; HADOOP_USER_NAME names another user.`);
  }
  if (exception === "InvalidToken")
    return told("UNAUTHORIZED", words, "Get a new delegation token, and set HADOOP_TOKEN to it.");
  if (/Quota/.test(exception) || /could only be written to 0 of|No space left/.test(message)) {
    return told("DISK_FULL", words, "Raise the quota, free some space, or look whether DataNodes are alive.");
  }
  if (isNoName(refusal)) {
    return told(usual, words, 'HDFS takes no name with ":" in it, and none that is "." or "..".');
  }
  if (STANDBY.test(exception))
    return told("UNREACHABLE", "no NameNode is active", `${hint} A failover may be under way.`, true);
  if (PASSING.test(exception))
    return told(usual, words, "It was tried for some time. Look at the log of the server.", true);
  return told(usual, words, "These are the words of the server; its log may say more.");
}

/** Whether a refusalError is that of a server that does not know the operation, as old HttpFS. */
export function isOperationUnknown(error: unknown): boolean {
  return (
    isSheafError(error) &&
    error.code === "INPUT_UNREADABLE" &&
    /\b(?:IllegalArgument|UnsupportedOperation|QueryParam)Exception\b|Invalid HTTP GET operation/.test(
      error.message,
    )
  );
}

export interface Mishap {
  readonly what: string;
  /** It will be the same at any time. */
  readonly isLasting: boolean;
  /** There was a connection. */
  readonly isCut?: true;
}

/** What happened to a request that got no answer, or only a part of one. */
export function mishapOf(error: unknown): Mishap {
  let code = "";
  for (let at = error, depth = 0; at instanceof Error && code === "" && depth < 5; depth++) {
    if ("code" in at && typeof at.code === "string") code = at.code;
    at = at instanceof AggregateError && at.errors.length > 0 ? at.errors[0] : at.cause;
  }
  const message = error instanceof Error ? error.message : String(error);
  switch (code) {
    case "ENOTFOUND":
      return { what: "this machine knows no host of that name", isLasting: true };
    case "ECONNREFUSED":
      return { what: "nothing listens there", isLasting: false };
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return { what: "no way leads there", isLasting: false };
    case "EAI_AGAIN":
      return { what: "the name of the host cannot be looked up now", isLasting: false };
    case "ETIMEDOUT":
      return { what: "it does not answer", isLasting: false };
    case "ECONNRESET":
    case "ERR_STREAM_PREMATURE_CLOSE":
    case "EPIPE":
      return { what: "the connection was cut", isLasting: false, isCut: true };
    default:
      return { what: message, isLasting: /CERT|^ERR_TLS|^ERR_SSL|^HPE_/.test(code) };
  }
}

/** The error that a DataNode is that cannot be reached. */
export function dataNodeError(
  error: unknown,
  { address, doing, origin }: Pick<RefusedRequest, "address" | "doing" | "origin">,
): SheafError {
  const { what, isLasting } = mishapOf(error);
  const message = `cannot ${doing} ${quotePath(address)}: the DataNode ${origin}: ${what}`;
  return new SheafError("UNREACHABLE", message, {
    hint:
      "DataNodes must be reached from here, at the names that they give to the NameNode. Set dfs.datanode.hostname " +
      "and dfs.datanode.http.address there to a name and port that this machine knows, or use HttpFS.",
    retryable: !isLasting,
    cause: error,
    details: { path: address, server: origin },
  });
}
