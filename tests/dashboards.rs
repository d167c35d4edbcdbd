//! Dashboards, alerts and runbooks: in agreement with each other and with the metrics, and as Grafana, Prometheus and
//! its operator want them.

#[path = "dashboards/alerts.rs"]
mod alerts;
#[path = "dashboards/chain.rs"]
mod chain;
#[path = "dashboards/files.rs"]
mod files;
#[path = "dashboards/layout.rs"]
mod layout;
#[path = "dashboards/linter.rs"]
mod linter;
#[path = "dashboards/metrics.rs"]
mod metrics;
#[path = "dashboards/promql.rs"]
mod promql;
