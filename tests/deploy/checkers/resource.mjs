// Holds the resource in a JSON file to its operator's schema; says what is wrong, and fails.
import { readFileSync } from "node:fs";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";

const { apiVersion, kind, ...rest } = JSON.parse(readFileSync(process.argv[2], "utf-8"));
const found = [ScaledObject, ServiceMonitor].find((model) => model.kind === kind);
if (found?.apiVersion !== apiVersion) {
  throw new Error(`${apiVersion} ${kind} is not known`);
}
new found(rest).validate();
