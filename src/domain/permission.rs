//! How far tuning may go.

/// Each includes what is before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Nothing is written; what would be is told.
    #[default]
    Observe,
    /// What TCP announces is clamped.
    Clamp,
    /// MTUs of links are lowered too.
    Links,
}

/// A word that names no permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} does not say how far tuning may go: give observe, clamp or links")]
pub struct NoPermission {
    /// What was given.
    pub word: String,
}

impl Permission {
    /// In one word: what flags, annotations and labels say.
    pub fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Clamp => "clamp",
            Self::Links => "links",
        }
    }
}

impl std::str::FromStr for Permission {
    type Err = NoPermission;

    fn from_str(word: &str) -> Result<Self, NoPermission> {
        let named = [Self::Observe, Self::Clamp, Self::Links].into_iter().find(|it| it.name() == word);
        named.ok_or_else(|| NoPermission { word: word.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_named_by_its_word_and_no_other() {
        for permission in [Permission::Observe, Permission::Clamp, Permission::Links] {
            assert_eq!(permission.name().parse(), Ok(permission));
        }
        for word in ["", "Links", "both", "links "] {
            assert_eq!(word.parse::<Permission>(), Err(NoPermission { word: word.to_owned() }));
        }
    }

    #[test]
    fn of_two_the_lesser_is_what_both_allow() {
        assert!(Permission::Observe < Permission::Clamp && Permission::Clamp < Permission::Links);
        assert_eq!(Permission::default(), Permission::Observe);
    }
}
