//! Handles: which ones a host may give out, and how the others resolve.
//!
//! A host gives out one label under each of its *user domains* (`alice` under `.agents.example`). Everything else is
//! somebody's own domain, and counts only when DNS or HTTPS says whose it is: see [`resolve`].
//! <https://atproto.com/specs/handle>

mod reserved;
mod resolve;

pub use resolve::{DOH_URL, resolve};

use murmuration_syntax::Handle;
use thiserror::Error;

/// Why a host does not give out a handle.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// The top-level domain is one that no account may have on the public network.
    #[error("Handle TLD is invalid or disallowed")]
    TopLevel,
    /// It is not under a user domain.
    #[error("Not a supported handle domain")]
    UnsupportedDomain,
    /// There is more than one label before the user domain.
    #[error("Invalid characters in handle")]
    Nested,
    /// The label is shorter than [`MIN_LABEL_CHARS`].
    #[error("Handle too short")]
    TooShort,
    /// The label is longer than [`MAX_LABEL_CHARS`].
    #[error("Handle too long")]
    TooLong,
    /// The label is a word that would mislead.
    #[error("Reserved handle")]
    Reserved,
}

/// The domains under which a host gives out handles.
#[derive(Clone, Copy, Debug)]
pub struct UserDomains<'a>(&'a [String]);

impl<'a> UserDomains<'a> {
    /// Takes domains in lower case, each with its leading dot: `.agents.example`.
    #[must_use]
    pub const fn new(domains: &'a [String]) -> Self {
        Self(domains)
    }

    /// Whether this host alone decides whose the handle is: it is under a user domain, or is one.
    #[must_use]
    pub fn govern(&self, handle: &Handle) -> bool {
        let handle = handle.as_str();
        self.0
            .iter()
            .any(|domain| handle.ends_with(domain.as_str()) || domain.strip_prefix('.') == Some(handle))
    }

    /// Checks that the host may give out the handle. Whether it is taken is another question.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self, handle: &Handle) -> Result<(), Refusal> {
        if reserved::is_reserved(self.check_form(handle)?) {
            return Err(Refusal::Reserved);
        }
        Ok(())
    }

    /// Checks the form alone, as where the operator gives out a reserved handle. The answer is the handle's label.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check_form<'h>(&self, handle: &'h Handle) -> Result<&'h str, Refusal> {
        let text = handle.as_str();
        // The longest domain that fits, so that `.a.example` beside `.example` serves `bob.a.example`.
        let domain =
            self.0.iter().filter(|domain| text.ends_with(domain.as_str())).max_by_key(|domain| domain.len());
        let label = match domain.and_then(|domain| text.strip_suffix(domain.as_str())) {
            Some(label) => label,
            None if handle.is_reserved() => return Err(Refusal::TopLevel),
            None => return Err(Refusal::UnsupportedDomain),
        };
        if label.contains('.') {
            return Err(Refusal::Nested);
        }
        if label.len() < MIN_LABEL_CHARS {
            return Err(Refusal::TooShort);
        }
        if label.len() > MAX_LABEL_CHARS {
            return Err(Refusal::TooLong);
        }
        Ok(label)
    }
}

/// Characters of a label under a user domain, at the least (reference server).
pub const MIN_LABEL_CHARS: usize = 3;
/// Characters of a label under a user domain, at the most (reference server).
pub const MAX_LABEL_CHARS: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(handle: &str) -> Result<(), Refusal> {
        let domains = [".test".to_owned(), ".agents.example.com".to_owned(), ".example.com".to_owned()];
        UserDomains::new(&domains).check(&Handle::parse(handle).unwrap())
    }

    #[test]
    fn gives_out_one_label_under_a_user_domain() {
        for handle in [
            "alice.test",
            "bob.agents.example.com",
            "bob.example.com",
            "abc.test",
            "a-b.test",
            "x23456789012345678.test",
        ] {
            assert_eq!(check(handle), Ok(()), "{handle}");
        }
    }

    #[test]
    fn refuses_other_handles_and_says_why() {
        assert_eq!(check("ab.test"), Err(Refusal::TooShort));
        assert_eq!(check("x234567890123456789.test"), Err(Refusal::TooLong));
        assert_eq!(check("alice.bob.test"), Err(Refusal::Nested));
        assert_eq!(check("alice.other.com"), Err(Refusal::UnsupportedDomain));
        assert_eq!(check("example.com"), Err(Refusal::UnsupportedDomain));
        assert_eq!(check("alice.localhost"), Err(Refusal::TopLevel));
        assert_eq!(check("admin.test"), Err(Refusal::Reserved));
    }

    #[test]
    fn refuses_every_top_level_of_the_specification_unless_configured() {
        for top in ["alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion"] {
            assert_eq!(check(&format!("alice.{top}")), Err(Refusal::TopLevel), "{top}");
        }
        let domains = [".localhost".to_owned()];
        assert_eq!(UserDomains::new(&domains).check(&Handle::parse("alice.localhost").unwrap()), Ok(()));
    }

    /// The lines of the published file of valid handles; nothing where the interop data is absent.
    fn published() -> Vec<Handle> {
        let file =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/interop/syntax/handle_syntax_valid.txt");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| Handle::parse(line).unwrap()).collect()
    }

    #[test]
    fn interop_gives_out_no_published_handle_of_a_disallowed_top_level_or_of_another_domain() {
        let mut refused = [0, 0];
        for handle in published() {
            let [top_level, elsewhere] = &mut refused;
            match check(handle.as_str()) {
                Err(Refusal::TopLevel) => *top_level += 1,
                Err(Refusal::UnsupportedDomain) => *elsewhere += 1,
                verdict => assert!(handle.as_str().ends_with(".test"), "{handle}: {verdict:?}"),
            }
        }
        assert!(published().is_empty() || (refused[0] >= 9 && refused[1] > 40), "{refused:?}");
    }

    #[test]
    fn keeps_to_the_length_of_the_label_not_of_the_handle() {
        let domains = [".a-domain-that-is-longer-than-a-label.example.com".to_owned(), ".test".to_owned()];
        let check = |handle: &str| UserDomains::new(&domains).check(&Handle::parse(handle).unwrap());
        for domain in &domains {
            assert_eq!(check(&format!("u23456789012345678{domain}")), Ok(()));
            assert_eq!(check(&format!("u234567890123456789{domain}")), Err(Refusal::TooLong));
            assert_eq!(check(&format!("uk{domain}")), Err(Refusal::TooShort));
            assert_eq!(check(&format!("about{domain}")), Err(Refusal::Reserved));
            assert_eq!(check(&format!("atp{domain}")), Err(Refusal::Reserved));
        }
    }

    #[test]
    fn governs_what_is_under_its_domains() {
        let domains = [".test".to_owned(), ".agents.example.com".to_owned()];
        let govern = |handle: &str| UserDomains::new(&domains).govern(&Handle::parse(handle).unwrap());
        assert!(govern("alice.test") && govern("a.b.test") && govern("agents.example.com"));
        assert!(!govern("example.com") && !govern("alicetest.com") && !govern("notagents.example.com"));
    }
}
