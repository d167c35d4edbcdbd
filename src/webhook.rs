//! The admission webhook: a pod that will run a dockerd is told its MTU before it starts.
