//! Errors as people read them.

use std::error::Error;
use std::iter::successors;

/// The error with all that it comes from, on one line. What an error already says of its source is not said again.
pub fn with_sources(error: &dyn Error) -> String {
    let sources = successors(error.source(), |source| (*source).source()).map(ToString::to_string);
    sources.fold(
        error.to_string(),
        |line, source| {
            if line.ends_with(&source) { line } else { format!("{line}: {source}") }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Failed {
        #[error("connect to {0}")]
        Connect(&'static str, #[source] std::fmt::Error),
        #[error("list: {0}")]
        List(#[source] Box<Failed>),
        #[error("watch")]
        Watch(#[source] Box<Failed>),
    }

    #[test]
    fn each_source_is_said_once() {
        let list = Failed::List(Box::new(Failed::Connect("x", std::fmt::Error)));
        let expected = format!("list: connect to x: {}", std::fmt::Error);
        assert_eq!(with_sources(&list), expected);
        assert_eq!(with_sources(&Failed::Watch(Box::new(list))), format!("watch: {expected}"));
    }
}
