//! The kinds that the server knows, and which one a path names.

use std::{any::TypeId, sync::Arc};

use k8s_openapi::{
    NamespaceResourceScope, Resource,
    api::{
        admissionregistration::v1 as admission, apps::v1 as apps, coordination::v1 as coordination,
        core::v1 as core, events::v1 as events, flowcontrol::v1 as flowcontrol, networking::v1 as networking,
        policy::v1 as policy, rbac::v1 as rbac, scheduling::v1 as scheduling,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Reads an object as its type and writes it again: fields that the type does not have are gone, and what is of
/// another type is an error.
type Decode = fn(&Value) -> Result<Value, serde_json::Error>;

/// A kind of object.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    pub(super) name: String,
    pub(super) is_namespaced: bool,
    /// Whether `/status` is written apart.
    pub(super) has_status: bool,
    pub(super) form: Form,
}

/// How an object of a kind is checked.
#[derive(Debug)]
pub(super) enum Form {
    BuiltIn(Decode),
    /// By the schema of its `CustomResourceDefinition`.
    Custom(Value),
}

impl Kind {
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// As error messages name it: `nodemtus.mtu-agent.dev`.
    pub(super) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    pub(super) fn is(&self, kind: &str) -> bool {
        self.name == kind
    }

    pub(super) fn is_custom(&self) -> bool {
        matches!(self.form, Form::Custom(_))
    }

    /// The kind that a version of a `CustomResourceDefinition` defines.
    pub(super) fn defined_by(definition: &Value) -> Vec<Self> {
        let text = |pointer: &str| {
            definition.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
        let served = versions.filter(|version| version["served"] == true);
        served
            .map(|version| Self {
                group: text("/spec/group"),
                version: version["name"].as_str().unwrap_or_default().to_owned(),
                plural: text("/spec/names/plural"),
                name: text("/spec/names/kind"),
                is_namespaced: definition["spec"]["scope"] == "Namespaced",
                has_status: version["subresources"]["status"].is_object(),
                form: Form::Custom(version["schema"]["openAPIV3Schema"].clone()),
            })
            .collect()
    }
}

fn built_in<T>(has_status: bool) -> Arc<Kind>
where
    T: Resource + Serialize + DeserializeOwned,
    T::Scope: 'static,
{
    Arc::new(Kind {
        group: T::GROUP.to_owned(),
        version: T::VERSION.to_owned(),
        plural: T::URL_PATH_SEGMENT.to_owned(),
        name: T::KIND.to_owned(),
        is_namespaced: TypeId::of::<T::Scope>() == TypeId::of::<NamespaceResourceScope>(),
        has_status,
        form: Form::BuiltIn(|value| serde_json::to_value(T::deserialize(value)?)),
    })
}

/// What every cluster has.
pub(super) fn built_ins() -> Vec<Arc<Kind>> {
    vec![
        built_in::<core::Node>(true),
        built_in::<core::Namespace>(true),
        built_in::<core::Pod>(true),
        built_in::<core::ConfigMap>(false),
        built_in::<core::Secret>(false),
        built_in::<core::Service>(true),
        built_in::<core::ServiceAccount>(false),
        built_in::<coordination::Lease>(false),
        built_in::<events::Event>(false),
        built_in::<admission::MutatingWebhookConfiguration>(false),
        built_in::<admission::ValidatingAdmissionPolicy>(true),
        built_in::<admission::ValidatingAdmissionPolicyBinding>(false),
        built_in::<apiextensions::CustomResourceDefinition>(true),
        built_in::<apps::DaemonSet>(true),
        built_in::<apps::Deployment>(true),
        built_in::<flowcontrol::FlowSchema>(true),
        built_in::<flowcontrol::PriorityLevelConfiguration>(true),
        built_in::<networking::NetworkPolicy>(false),
        built_in::<policy::PodDisruptionBudget>(true),
        built_in::<rbac::ClusterRole>(false),
        built_in::<rbac::ClusterRoleBinding>(false),
        built_in::<rbac::Role>(false),
        built_in::<rbac::RoleBinding>(false),
        built_in::<scheduling::PriorityClass>(false),
    ]
}

/// What a path names.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) kind: Arc<Kind>,
    /// Empty: of a cluster-scoped kind, or in all namespaces.
    pub(super) namespace: String,
    /// Empty: all of them.
    pub(super) name: String,
    /// Empty: the object itself.
    pub(super) subresource: String,
}

/// Finds what a path names; `None` if there is no such thing.
pub(super) fn target(kinds: &[Arc<Kind>], path: &str) -> Option<Target> {
    let segments: Vec<_> = path.trim_start_matches('/').split('/').collect();
    let (group, version, rest) = match segments.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        // A namespace and its own subresources are no namespaced kinds.
        ["namespaces", namespace, rest @ ..] if !matches!(rest, [] | ["status" | "finalize"]) => {
            (*namespace, rest)
        }
        rest => ("", rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, "", ""),
        [plural, name] => (*plural, *name, ""),
        [plural, name, subresource] => (*plural, *name, *subresource),
        _ => return None,
    };
    let same = |kind: &&Arc<Kind>| kind.group == group && kind.version == version && kind.plural == plural;
    let kind = Arc::clone(kinds.iter().find(same)?);
    let is_scoped =
        if kind.is_namespaced { name.is_empty() || !namespace.is_empty() } else { namespace.is_empty() };
    let has_subresource = match subresource {
        "" => true,
        "status" => kind.has_status,
        "binding" => kind.is("Pod"),
        "token" => kind.is("ServiceAccount"),
        _ => false,
    };
    (is_scoped && has_subresource).then(|| Target {
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
    })
}
