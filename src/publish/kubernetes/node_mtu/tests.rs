//! The CRD in `daemonset/` is what the type says.

use std::fs;

use kube::CustomResourceExt as _;

use super::*;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/daemonset/base/crd-nodemtu.yaml");
/// Set to anything, it makes the test write the file.
const UPDATE: &str = "UPDATE_DOCS";

const HEAD: &str = "\
# Generated from the type NodeMtu: `UPDATE_DOCS=1 cargo test --lib node_mtu` writes it.
";

fn manifest() -> String {
    let yaml = serde_saphyr::to_string(&NodeMtu::crd()).unwrap();
    // The type of bounds in a CRD is a float.
    let whole = |line: &str| {
        let is_bound =
            line.trim_start().split(' ').next().is_some_and(|word| word == "maximum:" || word == "minimum:");
        if is_bound { line.trim_end_matches(".0").to_owned() } else { line.to_owned() }
    };
    yaml.lines().map(whole).fold(HEAD.to_owned(), |manifest, line| manifest + &line + "\n")
}

#[test]
fn it_is_of_the_cluster_and_has_a_status_that_is_written_apart() {
    let crd = NodeMtu::crd();
    assert_eq!((crd.spec.scope.as_str(), crd.spec.names.short_names), ("Cluster", Some(vec!["nmtu".into()])));
    let [version] = &crd.spec.versions[..] else { panic!("one version") };
    assert!(version.subresources.as_ref().is_some_and(|it| it.status.is_some()));
    let columns: Vec<_> = version.additional_printer_columns.iter().flatten().map(|it| &it.name).collect();
    assert_eq!(columns, ["Dind-MTU", "Evidence", "Mismatches", "Changed", "Reported"]);
}

#[test]
fn every_list_is_bounded_and_every_number_whole() {
    fn look(at: &str, schema: &serde_json::Value) {
        let of = |name: &str| &schema[name];
        if of("type") == "array" {
            assert!(of("maxItems").is_number(), "{at}");
        }
        if of("type") == "integer" {
            assert_eq!(of("format"), "int32", "{at}");
            assert!(of("maximum").is_number() && of("minimum").is_number(), "{at}");
        }
        assert_ne!(of("type"), "number", "{at}");
        look_into(at, of("properties"));
        if of("items").is_object() {
            look(&format!("{at}[]"), of("items"));
        }
    }
    fn look_into(at: &str, properties: &serde_json::Value) {
        for (name, property) in properties.as_object().into_iter().flatten() {
            look(&format!("{at}.{name}"), property);
        }
    }
    let crd = serde_json::to_value(NodeMtu::crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    assert!(schema["properties"]["status"]["properties"]["pods"].is_object());
    look("", schema);
}

#[test]
fn the_manifest_is_what_the_type_says() {
    let generated = manifest();
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    if std::env::var_os(UPDATE).is_some() {
        fs::create_dir_all(std::path::Path::new(PATH).parent().unwrap()).unwrap();
        fs::write(PATH, &generated).unwrap();
    }
    let written = fs::read_to_string(PATH).unwrap_or_default();
    assert!(written == generated, "{PATH} is out of date: {UPDATE}=1 cargo test --lib node_mtu");
}
