//! Names that users, manifests and dashboards rely on. The manifests of `daemonset/` are compared with them by a test.

/// Label of a namespace whose pods are looked at by the webhook: [`ENABLED`].
pub const INJECT_LABEL: &str = "mtu-agent.dev/inject";
/// Annotation of a pod: the dind MTU that came with its Binding, whether or not anything in it reads [`DIND_MTU`].
pub const BOUND: &str = "mtu-agent.dev/bound-dind-mtu";
/// Annotation of a pod that chooses how it is told, or that it is not: `auto`, `args`, `env`, `daemon-json`, `none`.
pub const INJECT: &str = "mtu-agent.dev/inject";
/// Annotation of a pod that names the containers in which a dockerd runs, separated by commas.
pub const CONTAINERS: &str = "mtu-agent.dev/containers";
/// Annotation of a pod: the dind MTU of its node; before it has one, of the pools of its namespace.
pub const DIND_MTU: &str = "mtu-agent.dev/dind-mtu";
/// Annotation of a pod, and label of a namespace for those of its pods that have none: how far they may be tuned,
/// `observe`, `clamp` or `links`.
pub const TUNE: &str = "mtu-agent.dev/tune";
/// Annotation of a pod: what the webhook recognised and did, or why not.
pub const STATUS: &str = "mtu-agent.dev/status";
/// Label of a namespace that gets the ConfigMap [`CONFIG_MAP`]: [`ENABLED`].
pub const CONFIG_MAP_LABEL: &str = "mtu-agent.dev/configmap";
/// Annotation of a namespace: the pools that its runners run on, separated by commas. Without it, all.
pub const POOLS: &str = "mtu-agent.dev/pools";
/// Label of a node that names its pool, unless the controller is told another.
pub const POOL_LABEL: &str = "mtu-agent.dev/pool";
/// The nodes that count in their pools, unless the controller is told others: all but those that admit no agent.
pub const NODE_SELECTOR: &str =
    "kubernetes.io/os!=windows,type!=virtual-kubelet,eks.amazonaws.com/compute-type!=fargate";
/// Value of a label that opts in.
pub const ENABLED: &str = "enabled";

/// Environment variable in the container of a dockerd.
pub const DIND_MTU_ENV: &str = "MTU_AGENT_DIND_MTU";

/// ConfigMap in every namespace that is labelled for it.
pub const CONFIG_MAP: &str = "dind-mtu";
/// Its key for the value of the namespace; `DIND_MTU.<pool>` for that of a pool.
pub const CONFIG_MAP_KEY: &str = "DIND_MTU";
/// Its key for a whole `/etc/docker/daemon.json`.
pub const CONFIG_MAP_DAEMON_JSON: &str = "daemon.json";
/// Its annotation: the pools whose value may be out of date, and why. Absent where there is none.
pub const OLD_VALUES: &str = "mtu-agent.dev/old-values";

/// Field manager of all agents: one, since `managedFields` grows with each.
pub const AGENT_MANAGER: &str = "mtu-agent";
/// Field manager of the controller.
pub const CONTROLLER_MANAGER: &str = "mtu-agent-controller";
/// Label of what the controller made: its field manager.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Namespace of the controller, its Lease and its Secret, unless it is told another.
pub const CONTROLLER_NAMESPACE: &str = "mtu-agent-controller";
/// Lease of the leader.
pub const LEASE: &str = "mtu-agent-controller";
/// Secret with the webhook's certificates.
pub const WEBHOOK_SECRET: &str = "mtu-agent-webhook";
/// Service in front of the webhook.
pub const WEBHOOK_SERVICE: &str = "mtu-agent-webhook";
/// `MutatingWebhookConfiguration` of the webhook.
pub const WEBHOOK_CONFIGURATION: &str = "mtu-agent";
