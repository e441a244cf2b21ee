//! Black-box tests against the real Worker in workerd.
