//! Passwords, as Argon2id hashes in PHC form.
//!
//! The parameters are the last of the OWASP equivalents (7 MiB, five passes, one lane): a Worker's memory never
//! shrinks once grown, and all objects of an isolate share it, so memory is dearer here than time. They stand in the
//! hash itself; raising them later leaves old hashes readable.
//! <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>

use argon2::password_hash::{Error, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use murmuration_platform::Entropy;

use crate::AccountError;

/// Memory of one hash, in KiB.
const MEMORY_KIB: u32 = 7 * 1024;
/// Passes over that memory.
const PASSES: u32 = 5;
/// Lanes: a Worker has one thread.
const LANES: u32 = 1;
/// Bytes of salt (RFC 9106, section 4).
const SALT_BYTES: usize = 16;

/// The hash of no password, with the parameters of today's. To verify against it costs what an account's own costs.
pub(crate) const NOBODYS: &str =
    "$argon2id$v=19$m=7168,t=5,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes a password under a fresh salt.
///
/// # Errors
/// [`AccountError::Password`] when the parameters or the password do not fit Argon2.
pub(crate) fn hash(password: &str, entropy: &dyn Entropy) -> Result<String, AccountError> {
    let mut salt = [0; SALT_BYTES];
    entropy.fill(&mut salt);
    hasher()?.hash_password_with_salt(password.as_bytes(), &salt).map(|hash| hash.to_string()).map_err(broken)
}

/// Whether this is the password. The parameters are those of the hash.
///
/// # Errors
/// [`AccountError::Password`] when the stored hash cannot be read.
pub(crate) fn verify(password: &str, hash: &str) -> Result<bool, AccountError> {
    match hasher()?.verify_password(password.as_bytes(), hash) {
        Ok(()) => Ok(true),
        Err(Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(broken(error)),
    }
}

fn hasher() -> Result<Argon2<'static>, AccountError> {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|e| AccountError::Password(e.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn broken(error: Error) -> AccountError {
    AccountError::Password(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Entropy for Fixed {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(7);
        }
    }

    #[test]
    fn tells_the_password_from_every_other() {
        let stored = hash("correct horse", &Fixed).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"));
        assert!(verify("correct horse", &stored).unwrap());
        assert!(!verify("correct horsf", &stored).unwrap());
        assert!(!verify("", &stored).unwrap());
    }

    #[test]
    fn nobodys_password_costs_what_anybodys_costs() {
        let stored = hash("x", &Fixed).unwrap();
        let parameters = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(parameters(NOBODYS), parameters(&stored));
        assert_eq!(NOBODYS.len(), stored.len());
        for password in ["", "x", "correct horse"] {
            assert!(!verify(password, NOBODYS).unwrap());
        }
    }

    #[test]
    fn refuses_a_hash_that_it_cannot_read() {
        assert!(matches!(verify("x", "plain text"), Err(AccountError::Password(_))));
    }
}
