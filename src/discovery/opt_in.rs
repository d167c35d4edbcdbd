//! Which pods ask to be tuned, and how far. What the API server told of them is handed in; asking is not allowing:
//! the agent's own permission is applied by whoever tunes.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::permission::{NoPermission, Permission};

/// What pods or their namespaces ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptIns {
    /// By the pod's uid. Those that say it themselves are here as soon as pods are told, whatever else is known.
    pub pods: BTreeMap<String, Permission>,
    /// Whether all were told: one that is not here asks for nothing then. Until then it may have opted in before the
    /// agent started, or its namespace did.
    pub is_known: bool,
}

/// What is said of one pod.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// Its uid.
    pub uid: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// By its own annotation, which wins.
    pub annotation: Option<&'a str>,
    /// By the label of its namespace.
    pub label: Option<&'a str>,
}

/// A word that names no permission, and whose it is; it counts as observe.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Misspelt {
    /// The pod or the namespace, as people call it.
    pub whose: String,
    /// What it says.
    pub word: String,
}

impl OptIns {
    /// Takes together what is said of each, and what of it is not to be understood.
    pub fn merge<'a>(pods: impl IntoIterator<Item = Said<'a>>, is_known: bool) -> (Self, BTreeSet<Misspelt>) {
        let mut misspelt = BTreeSet::new();
        let asked = |said: Said<'a>| {
            let (word, whose) = match (said.annotation, said.label) {
                (Some(word), _) => (word, format!("pod {}/{}", said.namespace, said.name)),
                (None, Some(word)) => (word, format!("namespace {}", said.namespace)),
                (None, None) => return None,
            };
            let permission = word.parse().unwrap_or_else(|NoPermission { word }| {
                misspelt.insert(Misspelt { whose, word });
                Permission::Observe
            });
            Some((said.uid.to_owned(), permission))
        };
        let pods = pods.into_iter().filter_map(asked).collect();
        (Self { pods, is_known }, misspelt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<'a>(uid: &'a str, annotation: Option<&'a str>, label: Option<&'a str>) -> Said<'a> {
        Said { uid, namespace: "ci", name: uid, annotation, label }
    }

    #[test]
    fn the_pods_own_annotation_wins_whichever_is_more() {
        let pods = [
            said("own", Some("clamp"), None),
            said("namespace's", None, Some("links")),
            said("less", Some("observe"), Some("links")),
            said("more", Some("links"), Some("clamp")),
            said("neither", None, None),
        ];
        let (opt_ins, misspelt) = OptIns::merge(pods, true);
        let expected = [
            ("own", Permission::Clamp),
            ("namespace's", Permission::Links),
            ("less", Permission::Observe),
            ("more", Permission::Links),
        ];
        let pods = expected.map(|(uid, permission)| (uid.to_owned(), permission)).into();
        assert_eq!((opt_ins, misspelt.len()), (OptIns { pods, is_known: true }, 0));
    }

    #[test]
    fn a_word_that_is_none_counts_as_observe_and_is_told_once_for_a_whole_namespace() {
        let pods = [
            said("a", Some("Links"), Some("links")),
            said("b", None, Some("both")),
            said("c", None, Some("both")),
        ];
        let (opt_ins, misspelt) = OptIns::merge(pods, false);
        let observing = ["a", "b", "c"].map(|uid| (uid.to_owned(), Permission::Observe));
        assert_eq!(opt_ins, OptIns { pods: observing.into(), is_known: false });
        let told = misspelt.into_iter().map(|it| (it.whose, it.word)).collect::<Vec<_>>();
        let expected = [("namespace ci", "both"), ("pod ci/a", "Links")];
        assert_eq!(told, expected.map(|(whose, word)| (whose.to_owned(), word.to_owned())));
    }
}
