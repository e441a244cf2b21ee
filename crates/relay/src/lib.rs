//! The host's sequencer: stores every frame once, then serves it from any cursor.
