//! The survey kept true: events, schedules, hysteresis, and what leaves the process because of them.

pub mod config;
