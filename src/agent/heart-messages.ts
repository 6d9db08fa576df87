import type { ClientTls } from "../client/http.ts";
import type { Heartbeat, HeartbeatAnswer } from "../protocol/agent-messages.ts";

/* What the agent's main thread and its heart tell each other. */

/** What the thread is started with. */
export interface HeartData {
  readonly url: string;
  readonly token: string | null;
  readonly tls: ClientTls | null;
  readonly agent: string;
}

/** To the heart. */
export interface HeartState {
  /** What is to be sent; null: nothing, the agent is not registered. */
  readonly heartbeat: Heartbeat | null;
  readonly everyMs: number;
  /** When nothing has come from the main thread for so long, it hangs: then nothing is sent any more, ms. */
  readonly silentMsMax: number;
  /** Send it now, not when the next is due. */
  readonly now: boolean;
}

/** From the heart. */
export type HeartNews =
  | {
      readonly kind: "answer";
      readonly incarnation: number;
      /** What the heartbeat said of it. */
      readonly draining: boolean;
      readonly answer: HeartbeatAnswer;
    }
  | {
      readonly kind: "failed";
      readonly code: string;
      readonly message: string;
      readonly incarnation: number;
    };
