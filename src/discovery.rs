//! Kernel facts become a topology: levels, kinds, names, the CNI, and one survey of it all.

mod addresses;
pub mod advice;
pub mod cni;
pub mod docker;
pub mod doors;
pub mod expected;
mod handles;
pub mod identity;
pub mod inventory;
pub mod measure;
pub mod nested;
pub mod nesting;
pub mod opt_in;
pub mod path;
pub mod role;
pub mod scope;
pub mod surroundings;
pub mod survey;
pub mod unseen;
pub mod who;
