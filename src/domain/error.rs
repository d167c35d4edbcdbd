//! Errors as people read them.

use std::error::Error;
use std::iter::successors;

/// The error with all that it comes from, on one line.
pub fn with_sources(error: &dyn Error) -> String {
    let sources = successors(error.source(), |source| (*source).source());
    sources.fold(error.to_string(), |line, source| format!("{line}: {source}"))
}
