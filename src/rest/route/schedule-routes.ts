import Type from "typebox";
import { limits } from "../../base/limits.ts";
import type { Coordinator } from "../../coordinator/coordinator.ts";
import { ScheduleName, ScheduleRequestSchema, ScheduleViewSchema } from "../../protocol/schedule.ts";
import { access } from "../app.ts";
import type { App } from "../app.ts";
import { callerOf } from "../server-policy.ts";

const closed = { additionalProperties: false } as const;
const ScheduleParams = Type.Object({ schedule: ScheduleName });

/** Submissions that are made again and again by the clock. */
export function scheduleRoutes(app: App, coordinator: Coordinator): void {
  const config = access.client;
  app.post(
    "/schedules",
    {
      config,
      bodyLimit: limits.submissionBytesMax,
      schema: {
        summary: "Add a schedule; the same again changes nothing",
        body: ScheduleRequestSchema,
        response: { 200: ScheduleViewSchema, 201: ScheduleViewSchema },
      },
    },
    async (request, reply) => {
      const { schedule, isNew } = coordinator.schedules.add(request.body, callerOf(request));
      return reply.code(isNew ? 201 : 200).send(schedule);
    },
  );
  app.get(
    "/schedules",
    {
      config,
      schema: {
        summary: "All schedules, by name",
        response: { 200: Type.Object({ schedules: Type.Array(ScheduleViewSchema) }) },
      },
    },
    () => ({ schedules: [...coordinator.schedules.list()] }),
  );
  app.post(
    "/schedules/:schedule/remove",
    {
      config,
      schema: {
        summary: "Remove a schedule; its jobs stay",
        params: ScheduleParams,
        body: Type.Object({}, closed),
        response: { 200: ScheduleViewSchema },
      },
    },
    (request) => coordinator.schedules.remove(request.params.schedule, callerOf(request)),
  );
  app.post(
    "/schedules/:schedule/pause",
    {
      config,
      schema: {
        summary: "Start nothing by this schedule any more, or again from now on",
        params: ScheduleParams,
        body: Type.Object({ paused: Type.Boolean() }, closed),
        response: { 200: ScheduleViewSchema },
      },
    },
    (request) => coordinator.schedules.pause(request.params.schedule, request.body.paused, callerOf(request)),
  );
}
