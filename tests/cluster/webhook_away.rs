//! Pods while nobody answers for the webhook.

use std::sync::Arc;

use anyhow::{Result, ensure};
use kube::ResourceExt as _;

use crate::{
    cluster::Cluster,
    objects::{bind, create, node, runner, runner_namespace, told},
    process::controller,
    values::webhook_is_called,
};

pub(crate) async fn stops_no_pod(cluster: Arc<Cluster>) -> Result<()> {
    let runners = runner_namespace(&cluster).await?;
    let node = node(&cluster, "node").await?.name_any();
    let first = controller(&cluster).await?;
    webhook_is_called(&cluster, &runners).await?;

    first.pause()?;
    let pod = create(&cluster, &runners, runner("unanswered")).await?;
    ensure!(told(&pod).is_none(), "nobody has told it anything: {:?}", told(&pod));
    bind(&cluster, &runners, "unanswered", &node).await?;
    first.go_on()?;
    webhook_is_called(&cluster, &runners).await?;

    drop(first);
    let pod = create(&cluster, &runners, runner("refused")).await?;
    ensure!(told(&pod).is_none(), "nobody has told it anything: {:?}", told(&pod));
    bind(&cluster, &runners, "refused", &node).await?;

    let _second = controller(&cluster).await?;
    webhook_is_called(&cluster, &runners).await
}
