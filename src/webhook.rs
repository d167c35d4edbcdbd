//! The admission webhook: a pod that will run a dockerd is told its MTU before it starts.
//!
//! It is told twice. When the pod is made, no node is known: it gets the smallest value of the pools that it may come
//! to, and its dockerd the flag and the variable that say what the pod's annotation says ([`mutate()`]). When the
//! scheduler binds it, the annotation becomes the node's own value ([`bind`]), in the same write that names the node:
//! no container starts before. Nothing here can stop a pod: what fails, or is not understood, passes unchanged.

mod arguments;
mod binding;
mod environment;
mod image;
mod metrics;
mod mutate;
mod outcome;
mod patch;
mod policy;
mod review;
mod server;
mod shape;
mod stream;
mod text;

pub use binding::bind;
pub use image::Knob;
pub use metrics::{Answer, Resource, WebhookMetrics};
pub use mutate::{Effect, Mutation, mutate};
pub use outcome::Outcome;
pub use policy::{DindMtu, Policy, Source};
pub use review::{Answered, ReviewError, answer};
pub use server::Webhook;
pub use shape::Shape;
