// The testing kit: import { testJob } from "sheaf/testing".
export { testJob } from "./testing/test-job.ts";
export type { TestInput, TestJobOptions, TestResult } from "./testing/test-job.ts";
