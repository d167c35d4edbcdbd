//! Bytes that an encapsulation takes from its outer link.
