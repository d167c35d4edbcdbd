//! A path described in a file.
