//! The status and the warnings: short, and without anything of the pod's that could be a secret.

use super::policy::Policy;

/// Warnings of one answer; what is not done is in the status, too.
pub(super) const WARNINGS: usize = 4;
/// What the API server asks for of a warning.
const WARNING_BYTES: usize = 120;
/// Of a status: annotations of an object have 256 KiB together.
const STATUS_BYTES: usize = 1024;

/// `mtu=1450 from=pools; dind: told; other: kept (its own --mtu=1300)`.
pub(super) fn status<'a>(
    policy: Policy,
    containers: impl Iterator<Item = (&'a str, String)>,
    says: &[String],
) -> String {
    let head = format!("mtu={} from={}", policy.mtu, policy.source.name());
    let parts = containers.map(|(name, outcome)| format!("{name}: {outcome}")).chain(says.iter().cloned());
    let parts = parts.fold(head, |status, part| status + "; " + &part);
    cut(&parts, STATUS_BYTES)
}

pub(super) fn warning(text: &str) -> String {
    cut(&format!("mtu-agent: {text}"), WARNING_BYTES)
}

/// Names are not validated yet when a pod is admitted, and a warning with control characters is dropped.
fn cut(text: &str, bytes: usize) -> String {
    const MORE: &str = "...";
    let text = text.replace(char::is_control, "?");
    if text.len() <= bytes {
        return text;
    }
    let most = bytes - MORE.len();
    let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{}{MORE}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::policy::{DindMtu, Source};

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(cut("1234567", 7), "1234567");
        assert_eq!(cut("12345678", 7), "1234...");
        assert_eq!(cut("123\u{e9}5678", 7), "123...");
        assert_eq!(cut("a\nb\u{7f}", 7), "a?b?");
        assert_eq!(warning(&"x".repeat(500)).len(), WARNING_BYTES);
    }

    #[test]
    fn a_status_is_bounded_however_many_containers_there_are() {
        let policy = Policy { mtu: DindMtu::FALLBACK, source: Source::Fallback };
        let name = "n".repeat(63);
        let status = status(policy, (0..100).map(|_| (name.as_str(), "told".to_owned())), &[]);
        assert!(status.starts_with("mtu=1280 from=fallback; nnn"), "{status}");
        assert!(status.ends_with("..."), "{status}");
        assert_eq!(status.len(), STATUS_BYTES);
    }
}
