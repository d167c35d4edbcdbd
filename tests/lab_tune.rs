//! Tuning real dockerds, three levels deep, whose node drops the PTBs that it owes: what hung completes, and what was
//! written is taken back exactly, whatever happens meanwhile.

#[path = "lab_tune/crash.rs"]
mod crash;
#[path = "lab_tune/downloads.rs"]
mod downloads;
#[path = "lab_tune/live.rs"]
mod live;
#[path = "lab_tune/nested.rs"]
mod nested;
#[path = "lab_tune/revert.rs"]
mod revert;
#[path = "lab_tune/state.rs"]
mod state;
