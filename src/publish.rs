//! Everything that leaves the process.

pub mod drawing;
pub mod host_file;
pub mod http;
pub mod kubernetes;
mod links;
mod markup;
pub mod metrics;
pub mod page;
pub mod paint;
pub mod probe_json;
pub mod probe_text;
pub mod survey_json;
pub mod survey_text;
pub mod tune;
pub mod tune_json;
pub mod tune_text;
pub mod walk_text;

#[cfg(test)]
mod sample;
