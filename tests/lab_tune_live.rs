//! Live tuning of real dockerds that nobody configured, whose node drops the PTBs that it owes: every fresh container is
//! right before its first packet, at any depth; and nothing is lost when the agent dies.

#[path = "lab_tune_live/again.rs"]
mod again;
#[path = "lab_tune_live/checks.rs"]
mod checks;
#[path = "lab_tune_live/clamp.rs"]
mod clamp;
#[path = "lab_tune_live/fresh.rs"]
mod fresh;
#[path = "lab_tune_live/kill.rs"]
mod kill;
#[path = "lab_tune_live/permission.rs"]
mod permission;
#[path = "lab_tune_live/site.rs"]
mod site;
#[path = "lab_tune/state.rs"]
mod state;
#[path = "lab_tune_live/storm.rs"]
mod storm;
