import type { Coordinator } from "../coordinator/coordinator.ts";
import type { App } from "./app.ts";
import { agentRoutes } from "./route/agent-routes.ts";
import { clusterRoutes } from "./route/cluster-routes.ts";
import { fileRoutes } from "./route/file-routes.ts";
import { jobRoutes } from "./route/job-routes.ts";
import { scheduleRoutes } from "./route/schedule-routes.ts";
import { streamRoutes } from "./route/stream-routes.ts";
import { jobSupplyRoutes, taskRoutes } from "./route/task-routes.ts";

/** Everything a coordinator serves. */
export function coordinatorRoutes(app: App, coordinator: Coordinator): void {
  clusterRoutes(app, coordinator);
  jobRoutes(app, coordinator);
  scheduleRoutes(app, coordinator);
  streamRoutes(app, coordinator);
  fileRoutes(app, coordinator);
  agentRoutes(app, coordinator);
  taskRoutes(app, coordinator.tasks);
  jobSupplyRoutes(app, coordinator);
}
