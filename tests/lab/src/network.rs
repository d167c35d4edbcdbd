//! What a described path does to packets: seeded, pure, in any time.
