import { STATUS_CODES } from "node:http";
import { type ErrorCode, SheafError, isSheafError } from "../../base/errors.ts";
import { cutText } from "../../base/print-value.ts";
import { quotePath } from "../fs-error.ts";

/** What was being done where, as it reads in "cannot <doing> <address>". */
export interface S3Place {
  readonly address: string;
  readonly bucket: string;
  readonly doing: "list" | "read" | "write" | "remove";
}

/** What a message may say of how a bucket was asked. */
export interface S3Setup {
  readonly region: string;
  /** Where a server of one's own is asked; null: AWS. */
  readonly endpoint: string | null;
  /** Whether no credentials were found, and none are sent. */
  readonly anonymous: boolean;
}

/** The fields of an error of the SDK, and of one of Node's, that are looked at. */
interface Failure {
  readonly name: string;
  readonly message: string;
  readonly code?: unknown;
  readonly Region?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number; readonly clockSkewCorrected?: boolean };
  readonly $response?: { readonly headers?: Readonly<Record<string, string>> };
}

/** The status of an answer, 0 when there was none. */
export function statusOf(error: unknown): number {
  return (error as Failure | null)?.$metadata?.httpStatusCode ?? 0;
}

/** "NoSuchKey", "SlowDown": what the server calls it. */
export function errorName(error: unknown): string {
  const name = error instanceof Error ? error.name : "";
  return name === "Error" || name === "Unknown" || name === "UnknownError" ? "" : name;
}

/** An answer "there is no such object (or upload)". */
export function isMissing(error: unknown): boolean {
  return statusOf(error) === 404 && errorName(error) !== "NoSuchBucket";
}

/** A condition (If-Match, If-None-Match) that does not hold. */
export function isUnmet(error: unknown): boolean {
  return statusOf(error) === 412;
}

/** The region that the bucket is in, when the answer says it is another one. */
export function regionIn(error: unknown): string | null {
  const failure = error as Failure;
  const told = failure.$response?.headers?.["x-amz-bucket-region"] ?? failure.Region;
  if (typeof told !== "string" || !/^[a-z0-9-]{3,40}$/.test(told)) return null;
  const status = statusOf(error);
  return status === 301 || status === 307 || status === 400 || status === 403 ? told : null;
}

const LOST = new Set(["InvalidPart", "InvalidPartOrder", "NoSuchUpload", "EntityTooSmall", "InvalidRequest"]);

/** An answer "this upload cannot be completed", of those with the status 400. */
export function isUploadLost(error: unknown): boolean {
  return statusOf(error) === 400 && LOST.has(errorName(error));
}

interface Meaning {
  readonly code: ErrorCode;
  readonly says: string;
  readonly hint: string;
  readonly retryable?: boolean;
}

/**
 * A SheafError of what the SDK threw: what was done where, the cause, and what to do. Nothing of the request
 * is in it, whose headers are signed and may hold a session token.
 */
export function s3Error(error: unknown, place: S3Place, setup: S3Setup): Error {
  if (isSheafError(error)) return error;
  const failure = error instanceof Error ? error : new Error(String(error));
  if (failure.name === "AbortError") return failure;
  const meaning = meaningOf(failure as Failure, place, setup);
  const retryAfterMs = retryAfterOf(failure as Failure);
  return new SheafError(meaning.code, `cannot ${place.doing} ${quotePath(place.address)}: ${meaning.says}`, {
    hint: meaning.hint,
    retryable: meaning.retryable ?? false,
    details: { path: place.address, ...(retryAfterMs > 0 && { retryAfterMs }) },
  });
}

function meaningOf(failure: Failure, place: S3Place, setup: S3Setup): Meaning {
  const status = statusOf(failure);
  const told = toldBy(failure);
  const usual: ErrorCode =
    place.doing === "list" || place.doing === "read" ? "INPUT_UNREADABLE" : "OUTPUT_UNWRITABLE";
  if (status === 0) return withoutAnswer(failure, setup);
  if (failure.$metadata?.clockSkewCorrected === true && failure.name === "RequestTimeTooSkewed")
    return { ...clockWrong(told), retryable: true };
  const region = regionIn(failure);
  if (region !== null && region !== setup.region) {
    return {
      code: usual,
      says: `the bucket ${place.bucket} is in the region ${region}, and ${setup.region} was asked`,
      hint: `Set AWS_REGION=${region}.`,
    };
  }
  return byName(failure, place, setup, usual) ?? byStatus(status, told, setup, usual);
}

function toldBy(failure: Failure): string {
  const { name, message } = failure;
  const status = failure.$metadata?.httpStatusCode;
  // An answer to HEAD has no body to say it in.
  const known = errorName(failure) || (STATUS_CODES[status ?? 0] ?? name);
  const text = cutText(message, 300);
  const what = text === "" || text === name || text.startsWith("Unknown") ? known : `${known}: ${text}`;
  return status === undefined ? what : `the server answers ${status} ${what}`;
}

function byName(failure: Failure, place: S3Place, setup: S3Setup, usual: ErrorCode): Meaning | null {
  const told = toldBy(failure);
  switch (failure.name) {
    case "NoSuchBucket":
      return {
        code: usual === "INPUT_UNREADABLE" ? "INPUT_MISSING" : usual,
        says: `there is no bucket ${quotePath(place.bucket)} at ${setup.endpoint ?? "AWS"}`,
        hint:
          setup.endpoint === null
            ? "Check its spelling; a server other than AWS is named by AWS_ENDPOINT_URL."
            : "Check its spelling, and the server in AWS_ENDPOINT_URL (or endpoint_url of the profile).",
      };
    case "ExpiredToken":
    case "ExpiredTokenException":
    case "TokenRefreshRequired":
      return {
        code: "UNAUTHORIZED",
        says: `the credentials have expired (${told})`,
        hint: "Get new ones: `aws sso login`, or whatever has set AWS_SESSION_TOKEN.",
      };
    case "InvalidAccessKeyId":
    case "InvalidToken":
    case "InvalidClientTokenId":
      return {
        code: "UNAUTHORIZED",
        says: `the server does not know these credentials (${told})`,
        hint: "Check AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN, or AWS_PROFILE, and that they are of this server.",
      };
    case "SignatureDoesNotMatch":
      return {
        code: "UNAUTHORIZED",
        says: `the secret key is wrong, or a proxy has changed the request (${told})`,
        hint: "Check AWS_SECRET_ACCESS_KEY, or aws_secret_access_key of the profile, for missing or added characters.",
      };
    case "RequestTimeTooSkewed":
      return clockWrong(told);
    case "InvalidObjectState":
      return {
        code: usual,
        says: `it is archived and has to be restored before it is read (${told})`,
        hint: "Restore it (`aws s3api restore-object`), or leave it out.",
      };
    case "InvalidBucketName":
      return {
        code: "USAGE",
        says: `${quotePath(place.bucket)} is no name of a bucket`,
        hint: "An address is s3://bucket/key: small letters, digits, dots and hyphens in the bucket.",
      };
    default:
      return null;
  }
}

function clockWrong(told: string): Meaning {
  return {
    code: "UNAUTHORIZED",
    says: `the clock of this machine and that of the server differ too much (${told})`,
    hint: "Set the clock; NTP keeps it right.",
  };
}

function byStatus(status: number, told: string, setup: S3Setup, usual: ErrorCode): Meaning {
  if (status === 401 || status === 403) {
    return {
      code: status === 401 ? "UNAUTHORIZED" : "FORBIDDEN",
      says: setup.anonymous ? `${told}; no credentials were found, so none were sent` : told,
      hint: setup.anonymous
        ? "Give credentials, as to the aws command: AWS_PROFILE, AWS_ACCESS_KEY_ID ... (docs/storage.md)."
        : "It takes s3:GetObject and s3:ListBucket to read, s3:PutObject, s3:DeleteObject, " +
          "s3:AbortMultipartUpload, s3:ListMultipartUploadParts and s3:ListBucketMultipartUploads to write. If " +
          "the requester pays for this bucket: AWS_REQUEST_PAYER=requester.",
    };
  }
  // RequestTimeout is a 400, InternalError may come with a 200; 409 says that another write of the object is
  // under way.
  if (
    status >= 500 ||
    status === 429 ||
    status === 408 ||
    status === 409 ||
    /RequestTimeout|SlowDown|InternalError/.test(told)
  ) {
    const never = status === 501 || status === 505;
    return {
      code: never ? usual : "UNREACHABLE",
      says: told,
      hint: never ? "This server lacks what sheaf needs; see docs/storage.md." : "Run again later.",
      retryable: !never,
    };
  }
  return {
    code: usual,
    says: told,
    hint:
      setup.endpoint === null
        ? "Check the address, and AWS_REGION."
        : "Check the address, and that AWS_ENDPOINT_URL names an S3 server.",
  };
}

/** Causes that are the same at every try. */
const NEVER = /^(?:ENOTFOUND|EPROTO|ERR_|CERT|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED|HOSTNAME)/;

function withoutAnswer(failure: Failure, setup: S3Setup): Meaning {
  const code = typeof failure.code === "string" ? failure.code : "";
  const server = setup.endpoint ?? `AWS (${setup.region})`;
  if (/Credential|Token|SSO/i.test(failure.name) && code === "") {
    return {
      code: "UNAUTHORIZED",
      says: `the credentials cannot be had: ${cutText(failure.message, 300)}`,
      hint: "Get new ones (`aws sso login`), or check AWS_PROFILE and ~/.aws.",
    };
  }
  const why = code === "" ? `${failure.name}: ${cutText(failure.message, 300)}` : code;
  if (/CERT|SELF_SIGNED|UNABLE_TO|DEPTH_ZERO/.test(code)) {
    return {
      code: "CERTIFICATE_INVALID",
      says: `the certificate of ${server} is not trusted (${why})`,
      hint: "Name the certificate of its authority in AWS_CA_BUNDLE.",
    };
  }
  if (code === "" && !/Timeout|Connection|socket/i.test(`${failure.name} ${failure.message}`)) {
    return {
      code: "UNREACHABLE",
      says: `${server} answers what is not S3 (${why})`,
      hint: "Check AWS_ENDPOINT_URL, and proxies before the server.",
    };
  }
  return {
    code: "UNREACHABLE",
    says: `${server} does not answer (${why})`,
    hint:
      setup.endpoint === null
        ? "Check the connection, and AWS_REGION."
        : "Check AWS_ENDPOINT_URL, and that the server runs.",
    retryable: !NEVER.test(code),
  };
}

/** How long the server wants not to be asked, ms; a minute at most. */
function retryAfterOf({ $response }: Failure): number {
  const seconds = Number($response?.headers?.["retry-after"] ?? 0);
  return seconds > 0 ? Math.min(seconds, 60) * 1000 : 0;
}
