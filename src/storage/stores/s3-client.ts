import type * as SdkModule from "@aws-sdk/client-s3";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { SheafError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { process } from "../../base/own-globals.ts";
import { type RetryWorld, retrying } from "../../base/retry.ts";
import type { StoreSettings } from "../store.ts";
import { type S3Place, type S3Setup, regionIn, s3Error } from "./s3-errors.ts";

export type Sdk = typeof SdkModule;
export type Client = InstanceType<Sdk["S3Client"]>;
type Config = NonNullable<ConstructorParameters<Sdk["S3Client"]>[0]>;
type Env = StoreSettings["env"];

interface Connection {
  readonly client: Client;
  readonly setup: S3Setup;
}

const connectMs = 10_000;
/** Without a byte from the server. */
const silenceMs = 30_000;
const socketsMax = 128;

/**
 * Sends requests, to each bucket in its region, and tries again what will pass. Set up as the aws command is,
 * and by three variables of GDAL's for what that knows as flags only: AWS_NO_SIGN_REQUEST=YES,
 * AWS_REQUEST_PAYER=requester, AWS_VIRTUAL_HOSTING=TRUE or FALSE.
 */
export class S3Requests {
  /** What requests carry where whoever asks pays. */
  readonly payer: { readonly RequestPayer?: "requester" };
  /** Whether uploads carry checksums; see AWS_REQUEST_CHECKSUM_CALCULATION. */
  readonly sums: boolean;
  readonly world: RetryWorld;
  readonly #env: Env;
  #sdk: Sdk | null = null;
  /** By region; "": the one that is set. */
  readonly #connections = new Map<string, Promise<Connection>>();
  readonly #regions = new Map<string, string>();

  constructor({ env, world }: StoreSettings) {
    this.world = world;
    this.#env = env;
    this.payer = env["AWS_REQUEST_PAYER"]?.toLowerCase() === "requester" ? { RequestPayer: "requester" } : {};
    this.sums = env["AWS_REQUEST_CHECKSUM_CALCULATION"]?.toLowerCase() !== "when_required";
  }

  /**
   * What `work` sends, tried again for as long as it may help.
   * @param expected says which failures are answers: they are thrown as they are
   */
  send<T>(
    place: S3Place,
    work: (client: Client, sdk: Sdk) => Promise<T>,
    expected: (error: unknown) => boolean = () => false,
  ): Promise<T> {
    return retrying(this.world, limits.storageRetryMs, undefined, () => this.sendOnce(place, work, expected));
  }

  /** As send, but once. */
  async sendOnce<T>(
    place: S3Place,
    work: (client: Client, sdk: Sdk) => Promise<T>,
    expected: (error: unknown) => boolean = () => false,
  ): Promise<T> {
    const region = this.#regions.get(place.bucket) ?? "";
    const { client, setup } = await this.#connection(region, place);
    try {
      return await work(client, this.#load());
    } catch (error) {
      const there = regionIn(error);
      if (there !== null && setup.endpoint === null && there !== setup.region && region === "") {
        this.#regions.set(place.bucket, there);
        return this.sendOnce(place, work, expected);
      }
      if (expected(error)) throw error;
      throw s3Error(error, place, setup);
    }
  }

  #connection(region: string, place: S3Place): Promise<Connection> {
    let connection = this.#connections.get(region);
    if (connection === undefined) {
      connection = this.#connect(region, place);
      this.#connections.set(region, connection);
      connection.catch(() => this.#connections.delete(region));
    }
    return connection;
  }

  async #connect(region: string, place: S3Place): Promise<Connection> {
    const sdk = this.#load();
    const env = this.#env;
    const config = configOf(env);
    const wanted = region !== "" ? region : (env["AWS_REGION"] ?? env["AWS_DEFAULT_REGION"]);
    // What a profile sets is known once there is a client.
    const draft = new sdk.S3Client({ ...config, ...(wanted !== undefined && { region: wanted }) });
    const known = await draft.config.region().catch(() => "us-east-1");
    const endpoint = await endpointOf(draft, env);
    const setup = {
      region: known,
      endpoint,
      anonymous: /^(?:yes|true|1)$/i.test(env["AWS_NO_SIGN_REQUEST"] ?? ""),
    };
    let anonymous = setup.anonymous;
    if (!anonymous) {
      try {
        await draft.config.credentials();
      } catch (error) {
        // Credentials that are there and do not work must not become none.
        const isNone =
          error instanceof Error && error.message.startsWith("Could not load credentials from any");
        if (!isNone) throw s3Error(error, place, setup);
        anonymous = true;
      }
    }
    draft.destroy();
    const client = new sdk.S3Client({
      ...config,
      region: known,
      ...(endpoint !== null && { endpoint }),
      // AWS has a host for each bucket; other servers rarely do.
      forcePathStyle: /^(?:no|false|0)$/i.test(
        env["AWS_VIRTUAL_HOSTING"] ?? (endpoint === null ? "yes" : "no"),
      ),
      ...(anonymous && unsigned),
    });
    return { client, setup: { ...setup, anonymous } };
  }

  #load(): Sdk {
    this.#sdk ??= loadSdk();
    return this.#sdk;
  }
}

const unsigned: Config = {
  credentials: { accessKeyId: "", secretAccessKey: "" },
  signer: { sign: (request) => Promise.resolve(request) },
};

/** What is asked instead of AWS: as the environment says, else the profile. */
async function endpointOf(draft: Client, env: Env): Promise<string | null> {
  if (env["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"]?.toLowerCase() === "true") return null;
  const set = env["AWS_ENDPOINT_URL_S3"] ?? env["AWS_ENDPOINT_URL"];
  return set ?? (await draft.config.serviceConfiguredEndpoint?.()) ?? null;
}

function configOf(env: Env): Config {
  const key = env["AWS_ACCESS_KEY_ID"];
  const secret = env["AWS_SECRET_ACCESS_KEY"];
  const token = env["AWS_SESSION_TOKEN"];
  const profile = env["AWS_PROFILE"];
  const ca = env["AWS_CA_BUNDLE"];
  return {
    // As with the aws command they come before AWS_PROFILE.
    ...(key !== undefined &&
      secret !== undefined && {
        credentials: {
          accessKeyId: key,
          secretAccessKey: secret,
          ...(token !== undefined && { sessionToken: token }),
        },
      }),
    ...(profile !== undefined && { profile }),
    // Trying again is tryAgain's.
    maxAttempts: 1,
    requestHandler: {
      connectionTimeout: connectMs,
      socketTimeout: silenceMs,
      httpAgent: { keepAlive: true, maxSockets: socketsMax },
      httpsAgent: { keepAlive: true, maxSockets: socketsMax, ...(ca && { ca: readFileSync(ca) }) },
    },
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
  };
}

/** By require: to import it, Node would look through all of its text first, which takes as long again. */
function loadSdk(): Sdk {
  // What will be required of its later versions is nothing that a run has to say.
  process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] ??= "true";
  try {
    return createRequire(import.meta.url)("@aws-sdk/client-s3") as Sdk;
  } catch (error) {
    if ((error as { code?: unknown }).code !== "MODULE_NOT_FOUND") throw error;
    throw new SheafError(
      "PACKAGE_MISSING",
      "s3:// needs the package @aws-sdk/client-s3, which is not installed",
      { hint: "npm install @aws-sdk/client-s3, where sheaf is installed (-g if that is global)." },
    );
  }
}
