//! The seed problem, real: server, node, pod, and dockerds at level 2 and 3.
