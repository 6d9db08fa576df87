import type { CoordinatorService } from "../coordinator/service.ts";
import type { App } from "./app.ts";
import { createMetrics } from "./metrics.ts";
import { agentRoutes } from "./route/agent-routes.ts";
import { clusterRoutes } from "./route/cluster-routes.ts";
import { fileRoutes } from "./route/file-routes.ts";
import { jobRoutes } from "./route/job-routes.ts";
import { streamRoutes } from "./route/stream-routes.ts";
import { jobSupplyRoutes, taskRoutes } from "./route/task-routes.ts";

/** Everything a coordinator serves. */
export function coordinatorRoutes(app: App, service: CoordinatorService): void {
  clusterRoutes(app, service, createMetrics(service));
  jobRoutes(app, service);
  streamRoutes(app, service);
  fileRoutes(app, service);
  agentRoutes(app, service);
  taskRoutes(app, service);
  jobSupplyRoutes(app, service);
}
