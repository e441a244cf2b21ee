//! XRPC: method table, parameters, bodies, errors, authentication, and the methods' logic.
