//! A [`crate::network`] between real sockets, behind a tun device.
