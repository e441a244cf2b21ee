//! XRPC: everything between an HTTP request and an account.
//!
//! A method is declared once, in [`table`]: its NSID, kind, authentication, cost and the place where it runs. The
//! router, the deny-by-default rule and the method reference are derived from that table; there is no route beside it.
//!
//! A request's way: the Worker finds the [`Method`](method::Method) of the path. If it runs in the Worker it
//! goes to [`host`]; if it runs in an agent's object, the Worker forwards the request unchanged to the object of the
//! DID, where [`agent::answer`] does, in this order: verb, authentication, parameters and body against the lexicon,
//! the method. The first step that refuses decides the answer, and nothing has been written by then.
//!
//! This crate knows no runtime. It sees plain [`http`] structs and the traits of `murmuration-platform`.

pub mod agent;
pub mod auth;
pub mod config;
pub mod embedder;
pub mod error;
pub mod events;
pub mod host;
pub mod http;
pub mod inbox;
pub mod limits;
pub mod listing;
pub mod mail;
pub mod method;
pub mod peers;
pub mod protected;
pub mod public;
pub mod retry_after;
pub mod service_auth;
pub mod table;
pub mod token;
pub mod vectorize;
pub mod webhooks;
pub mod words;

pub use config::Config;
pub use error::XrpcError;
