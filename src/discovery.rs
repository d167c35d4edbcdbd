//! Kernel facts become a topology: levels, kinds, names, the CNI.
