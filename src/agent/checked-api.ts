import type { Static, TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { SheafError } from "../base/errors.ts";
import { retrying } from "../base/retry.ts";
import type { RetryWorld } from "../base/retry.ts";
import { ApiClient } from "../client/api-client.ts";
import type { CallOptions, HttpOptions } from "../client/http.ts";
import { HeartbeatAnswerSchema, OrdersSchema, RegisteredSchema } from "../protocol/agent-messages.ts";
import type { HeartbeatAnswer, Orders, Registered } from "../protocol/agent-messages.ts";
import {
  OutputsSchema,
  PreparationSchema,
  TaskAnswerSchema,
  TaskReportAnswerSchema,
} from "../protocol/task-messages.ts";
import type { MapOutputs, Preparation, TaskAnswer, TaskReportAnswer } from "../protocol/task-messages.ts";

/** Throws MESSAGE_INVALID, to be tried again, unless the answer is of the form. */
function checking<T extends TSchema>(schema: T): (what: string, answer: unknown) => Static<T> {
  let check: ReturnType<typeof Compile<T>> | null = null;
  return (what, answer) => {
    check ??= Compile(schema);
    if (check.Check(answer)) return answer;
    const [first] = check.Errors(answer);
    const problem = `${first?.instancePath ?? ""} ${first?.message ?? "is not as it must be"}`.trim();
    throw new SheafError(
      "MESSAGE_INVALID",
      `the coordinator's answer to ${what} makes no sense: ${problem}`,
      {
        hint: "Is it of the same version of sheaf, and is nothing in between that changes answers?",
        retryable: true,
      },
    );
  };
}

const registered = checking(RegisteredSchema);
const orders = checking(OrdersSchema);
const task = checking(TaskAnswerSchema);
const reported = checking(TaskReportAnswerSchema);
const preparation = checking(PreparationSchema);
const outputs = checking(OutputsSchema);

/** @throws SheafError MESSAGE_INVALID */
export const checkHeartbeatAnswer: (what: string, answer: unknown) => HeartbeatAnswer =
  checking(HeartbeatAnswerSchema);

/** What an agent asks of its coordinator: it believes no answer that it has not looked at. */
export class CheckedApi extends ApiClient {
  readonly #options: HttpOptions & RetryWorld;

  constructor(options: HttpOptions & RetryWorld) {
    super(options);
    this.#options = options;
  }

  override register(...asked: Parameters<ApiClient["register"]>): Promise<Registered> {
    return this.#sound(asked[1], async () => registered("POST /agents", await super.register(...asked)));
  }

  override orders(...asked: Parameters<ApiClient["orders"]>): Promise<Orders> {
    return this.#sound(asked[2], async () => orders("POST /agents/.../orders", await super.orders(...asked)));
  }

  override askTask(...asked: Parameters<ApiClient["askTask"]>): Promise<TaskAnswer> {
    return this.#sound(asked[1], async () => task("PUT /task", await super.askTask(...asked)));
  }

  override report(...asked: Parameters<ApiClient["report"]>): Promise<TaskReportAnswer> {
    return this.#sound(asked[5], async () => reported("a report", await super.report(...asked)));
  }

  override preparation(...asked: Parameters<ApiClient["preparation"]>): Promise<Preparation> {
    return this.#sound(asked[2], async () =>
      preparation("GET /jobs/.../preparation", await super.preparation(...asked)),
    );
  }

  override outputs(...asked: Parameters<ApiClient["outputs"]>): Promise<MapOutputs> {
    return this.#sound(asked[2], async () => outputs("GET /jobs/.../outputs", await super.outputs(...asked)));
  }

  #sound<T>(call: CallOptions | undefined, ask: () => Promise<T>): Promise<T> {
    // A try that brought no answer of the form is one that brought none.
    return retrying(this.#options, call?.retryMs ?? this.#options.retryMs ?? 0, call?.signal, ask);
  }
}
