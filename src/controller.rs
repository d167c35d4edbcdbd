//! The controller: what the nodes tell becomes the values of pools, and those become ConfigMaps.

pub mod certificates;
