//! `kubectl kustomize`, which `.ci/run tests` installs.

use std::path::Path;
use std::process::Command;
use std::{fs, iter};

use serde_json::{Value, json};

use super::documents::{directory, parse};

/// Overlays, which can be applied as they are.
pub(crate) const OVERLAYS: [&str; 4] = ["default", "observe-only", "openshift", "tuning"];
/// Components that can be put on top of one.
pub(crate) const COMPONENTS: [&str; 7] = [
    "cert-manager",
    "dashboards",
    "flow-control",
    "no-certificates",
    "openshift",
    "prometheus-operator",
    "tuning",
];

/// The objects of an overlay.
pub(crate) fn overlay(name: &str) -> Vec<Value> {
    build(&directory().join("overlays").join(name))
}

/// The objects of the default overlay with components on top, as a user puts it together.
pub(crate) fn with(components: &[&str]) -> Vec<Value> {
    let components: Vec<_> =
        components.iter().map(|name| format!("mtu-agent/daemonset/components/{name}")).collect();
    custom(&json!({"resources": ["mtu-agent/daemonset/overlays/default"], "components": components}))
}

/// The objects of a kustomization of a user's, in which this repository is `mtu-agent`.
pub(crate) fn custom(kustomization: &Value) -> Vec<Value> {
    let temporary = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("it can be made");
    let place = temporary.path().canonicalize().expect("it is there");
    // kustomize takes no absolute path.
    let up: String = iter::repeat_n("../", place.components().count() - 1).collect();
    let here = format!("{up}{}", env!("CARGO_MANIFEST_DIR").trim_start_matches('/'));
    let text = kustomization.to_string().replace("\"mtu-agent/", &format!("\"{here}/"));
    fs::write(place.join("kustomization.yaml"), text).expect("it can be written");
    build(&place)
}

fn build(place: &Path) -> Vec<Value> {
    let output = Command::new("kubectl").arg("kustomize").arg(place).output();
    let output = output.expect("kubectl is installed, as `.ci/run tests` does it");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", place.display());
    assert_eq!(said, "", "{}", place.display());
    parse(&String::from_utf8(output.stdout).expect("it is UTF-8"))
}
