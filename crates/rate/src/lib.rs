//! Rate limits: so many points in so many seconds.
//!
//! A [`Rule`] is a *fixed window*: it begins with the first point spent, and all points are free again when it ends. This
//! is the reference server's kind (`rate-limiter-flexible`), and it is two numbers a key.
//!
//! ```
//! use murmuration_rate::{Rule, Window};
//!
//! const LOGINS: Rule = Rule::new(30, 5 * 60);
//! let mut window = Window::default();
//! let now = 1_795_000_000_000_000; // microseconds since the Unix epoch
//! for left in (0..30).rev() {
//!     assert_eq!(window.take(LOGINS, 1, now).unwrap().remaining, left);
//! }
//! assert_eq!(window.take(LOGINS, 1, now + 1_000_000).unwrap_err().seconds_left(now + 1_000_000), 299);
//! assert!(window.take(LOGINS, 1, now + 300_000_000).is_ok());
//! ```
//!
//! # Leases
//! A window lives in one place, and those who spend from it are elsewhere. Asking for each point would cost a hop a
//! request, so they ask for more than they need and spend the rest without asking:
//!
//! ```text
//!   Tabs (an isolate) ──── Ask: what I need, what I want, what I know ───► Ledger (the object of a key)
//!        │ spends what is left of its lease               Grant: what you got, what is spent of the window │
//!        └◄──────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! An ask carries what the asker knows of the window. A ledger that was forgotten learns from it what had been spent, so
//! that it need not be stored: it costs no row. What everybody has forgotten is forgiven.

mod lease;
mod many;
mod window;

pub use lease::{Ask, Grant, Ledger, Spend, Tabs};
pub use many::Windows;
pub use window::{Rule, Status, Window};
