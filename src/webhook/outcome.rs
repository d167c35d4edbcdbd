//! What came of one container, in the words of the status and of the warnings.

use super::policy::DindMtu;
use super::shape::Shape;
use crate::publish::kubernetes::names::DIND_MTU_ENV;

/// What came of one container in which a dockerd was recognised. It says how things are, not what was changed: a
/// second look, after another webhook, comes to the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `--mtu` and the variable are there.
    Told,
    /// The variable is there, as the pod asked.
    Variable,
    /// `--mtu` says what a variable of the user's says.
    OwnVariable(DindMtu),
    /// The user's variable may be empty when the container starts, so no `--mtu` goes beside it.
    UnclearVariable,
    /// The variable alone was asked for, and the user has one.
    KeptVariable,
    /// The user's `--mtu` is no larger than what is known to fit.
    Kept(u32),
    /// The user's `--mtu` is larger, and stays.
    Exceeds(u32),
    /// The user's `--mtu` is another variable.
    KeptReference,
    /// The user's `--mtu` is not what one can compare.
    KeptUnreadable,
    /// Nothing is done in this shape.
    Refused(Shape),
    /// The pod asked for what is not there yet.
    NotYet,
}

impl Outcome {
    /// Every label of metrics.
    pub(super) const NAMES: [&'static str; 8] =
        ["told", "variable", "own_variable", "unclear_variable", "kept", "exceeds", "refused", "not_yet"];

    /// Its label in metrics.
    pub fn name(self) -> &'static str {
        let [told, variable, own_variable, unclear_variable, kept, exceeds, refused, not_yet] = Self::NAMES;
        match self {
            Self::Told => told,
            Self::Variable => variable,
            Self::OwnVariable(_) => own_variable,
            Self::UnclearVariable => unclear_variable,
            Self::KeptVariable | Self::Kept(_) | Self::KeptReference | Self::KeptUnreadable => kept,
            Self::Exceeds(_) => exceeds,
            Self::Refused(_) => refused,
            Self::NotYet => not_yet,
        }
    }

    /// A word, and what explains it.
    pub(super) fn status(self) -> String {
        match self {
            Self::Told => "told".to_owned(),
            Self::Variable => format!("variable ({DIND_MTU_ENV})"),
            Self::OwnVariable(mtu) => format!("told (its own {DIND_MTU_ENV}={mtu})"),
            Self::UnclearVariable => format!("not-told (its own {DIND_MTU_ENV} is no plain number)"),
            Self::Kept(mtu) => format!("kept (its own --mtu={mtu})"),
            Self::Exceeds(mtu) => format!("exceeds (its own --mtu={mtu} is kept)"),
            Self::KeptVariable => format!("kept (its own {DIND_MTU_ENV})"),
            Self::KeptReference => "kept (its own --mtu is a variable)".to_owned(),
            Self::KeptUnreadable => "kept (its own --mtu is no plain number)".to_owned(),
            Self::Refused(shape) => format!("not-told ({})", why(shape)),
            Self::NotYet => "not-told (inject: daemon-json is not available yet)".to_owned(),
        }
    }

    /// What the user may not expect, if it is `known` what fits.
    pub(super) fn warning(self, known: Option<DindMtu>) -> Option<String> {
        match self {
            Self::Told
            | Self::Variable
            | Self::KeptVariable
            | Self::Kept(_)
            | Self::KeptReference
            | Self::Refused(Shape::Rootless) => None,
            Self::OwnVariable(own) => {
                let mtu = known.filter(|mtu| own > *mtu)?;
                Some(format!("its own {DIND_MTU_ENV}={own} is kept, but only {mtu} fits"))
            }
            Self::Exceeds(own) => {
                known.map(|mtu| format!("its own --mtu={own} is kept, but only {mtu} fits"))
            }
            Self::UnclearVariable | Self::KeptUnreadable | Self::Refused(_) | Self::NotYet => {
                Some(self.status())
            }
        }
    }
}

fn why(shape: Shape) -> String {
    match shape {
        Shape::Plain => "it takes flags".to_owned(),
        Shape::Shell => "a shell starts dockerd".to_owned(),
        Shape::Wrapped => "another program starts dockerd".to_owned(),
        Shape::ConfigFile => "its daemon.json may hold an MTU".to_owned(),
        Shape::Rootless => "rootless: no link's MTU limits it".to_owned(),
        Shape::OwnKnob(knob) => format!("its image takes the MTU from {}", knob.variable()),
        Shape::ImageArguments => "give args: the image's own would be lost".to_owned(),
        Shape::Other => "it starts something else than dockerd".to_owned(),
    }
}
