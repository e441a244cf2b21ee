//! The Worker: the only code that knows Cloudflare.
